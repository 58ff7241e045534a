"""The commands that look after a store: store size, list, clean, verify, export, import."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balancebench.cli.presentation import age_text, print_table, progress_bar, size_text
from balancebench.cli.shared import (
    SOME_FAILED,
    JsonFlag,
    StoreOption,
    bound_plan,
    console,
    errors_console,
    plans_of_all_profiles,
    print_json,
    whole_key,
)
from balancebench.errors import BalancebenchError
from balancebench.folders import DEFAULT_STORE
from balancebench.stage import STAGES

if TYPE_CHECKING:
    from balancebench.step import Step
    from balancebench.store.known_step import KnownStep
    from balancebench.store.step_folders import Store

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Look after a store: what it holds, what may go, whether it is whole, and how results travel.",
)
VERIFIED_TOGETHER = 100

SuitesOption = Annotated[
    list[Path] | None,
    typer.Option("--suite", help="A suite file; may be given several times. Its profiles count too.", metavar="SUITE"),
]
StageOption = Annotated[
    list[str] | None,
    typer.Option("--stage", help=f"Only steps of this stage: {', '.join(STAGES)}. May be repeated.", metavar="STAGE"),
]
ArchiveArgument = Annotated[
    Path, typer.Argument(help="The archive: NAME.tar, or compressed NAME.tar.gz.", metavar="ARCHIVE")
]


@app.command("size")
def show_size(store: StoreOption = DEFAULT_STORE, json: JsonFlag = False) -> None:
    """Say how much disk each stage's results take, and what else lies in the store.

    Example: [bold]balancebench store size[/bold]
    """
    from balancebench.store.index import StoreIndex
    from balancebench.store.leftovers import tree_bytes

    opened = _opened(store)
    sizes: dict[str, tuple[int, int]] = dict.fromkeys(STAGES, (0, 0))
    keys = opened.step_keys()
    with StoreIndex(opened) as index, progress_bar("Measuring") as progress:
        task = progress.add_task("results", total=len(keys))
        for key in index.prefetched(keys):
            known = index.step(key)
            stage = "unreadable" if known is None else known.stage
            count, size_bytes = sizes.get(stage, (0, 0))
            sizes[stage] = count + 1, size_bytes + tree_bytes(opened.folder(key))
            progress.advance(task)
    for name, pattern in (("checkpoints", "*"), ("cached", "*/*/*"), ("set_aside", "*"), ("temporary", "*")):
        folders = [path for path in (opened.root / name).glob(pattern) if path.is_dir()]
        sizes[name] = len(folders), sum(tree_bytes(folder) for folder in folders)
    total_bytes = opened.size_bytes()
    if json:
        parts = {name: {"count": count, "size_bytes": size_bytes} for name, (count, size_bytes) in sizes.items()}
        print_json({"store": str(opened.root), "size_bytes": total_bytes, "parts": parts})
        return
    rows = [(name, f"{count:,}", size_text(size_bytes)) for name, (count, size_bytes) in sizes.items() if count]
    print_table(("part", "results or folders", "size"), rows)
    console().print(f"{opened.root}: {size_text(total_bytes)} in all, index and locks included", markup=False)


@app.command("list")
def list_steps(
    stage: StageOption = None,
    suite: SuitesOption = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            help="Only steps that ended so: done, failed, out_of_memory, timeout.",
            metavar="STATUS",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonFlag = False,
) -> None:
    """List the steps in the store, the newest last.

    Example: [bold]balancebench store list --stage train --status failed[/bold]
    """
    opened = _opened(store)
    steps = [
        known
        for known in _known_steps(opened, None if not suite else _needed(suite), stage)
        if status is None or known.status == status
    ]
    steps.sort(key=lambda known: (known.started_at, known.key))
    if json:
        print_json(
            [
                {
                    "key": known.key,
                    "stage": known.stage,
                    "label": known.label,
                    "status": known.status,
                    "started_at": known.started_at,
                    "duration_seconds": known.duration_seconds,
                    "size_bytes": known.size_bytes,
                    "failure": known.failure,
                }
                for known in steps
            ]
        )
        return
    now = datetime.now(UTC)
    print_table(
        ("key", "stage", "status", "age", "size", "label"),
        [
            (
                known.key[:12],
                known.stage,
                known.status,
                age_text((now - datetime.fromisoformat(known.started_at)).total_seconds()),
                size_text(known.size_bytes),
                known.label,
            )
            for known in steps
        ],
    )
    total_bytes = sum(known.size_bytes for known in steps)
    console().print(f"{len(steps):,} steps, {size_text(total_bytes)}", markup=False)


@app.command()
def clean(
    suite: SuitesOption = None,
    temporary: Annotated[bool, typer.Option("--temporary", help="Temporary folders of ended processes.")] = False,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Checkpoints of finished steps.")] = False,
    set_aside: Annotated[bool, typer.Option("--set-aside", help="Results that failed and were replaced.")] = False,
    cached: Annotated[bool, typer.Option("--cached", help="Cached arrays: they are computed again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Delete what nobody needs, once you have seen how much it is and said yes.

    Without options: temporary folders, checkpoints of finished steps, set-aside results and cached arrays.
    With --suite: results that none of the suites given needs, and nothing else unless you name it.

    Example: [bold]balancebench store clean --suite suites/quickstart.toml --suite mine.toml --dry-run[/bold]
    """
    from balancebench.store.leftovers import LEFTOVERS, LeftoverKind, delete_leftover, find_leftovers, running_keys

    opened = _opened(store)
    asked = {"temporary": temporary, "checkpoints": checkpoints, "set_aside": set_aside, "cached": cached}
    everything = not suite and not any(asked.values())
    kinds: list[LeftoverKind] = [
        kind for kind in LEFTOVERS if (bool(suite) if kind == "orphan" else asked[kind] or everything)
    ]
    leftovers = find_leftovers(opened, kinds, _needed(suite or []))
    out, err = console(), errors_console()
    if ({"cached", "orphan"} & set(kinds)) and (running := running_keys(opened)):
        err.print(
            f"{len(running)} steps are running in this store: results and cached arrays stay until they have ended",
            style="yellow",
            markup=False,
        )
    if not leftovers:
        out.print("There is nothing to delete.")
        return
    rows: list[tuple[str, str, str]] = []
    for kind in kinds:
        of_kind = [leftover.size_bytes for leftover in leftovers if leftover.kind == kind]
        if of_kind:
            rows.append((LEFTOVERS[kind], f"{len(of_kind):,}", size_text(sum(of_kind))))
    print_table(("what", "folders", "size"), rows)
    if dry_run:
        for leftover in leftovers:
            out.print(f"  {leftover.path}", markup=False, soft_wrap=True)
        return
    if not yes and not typer.confirm(f"Delete these {len(leftovers):,} folders?"):
        raise typer.Exit(SOME_FAILED)
    deleted_bytes, kept = 0, 0
    with progress_bar("Deleting") as progress:
        for leftover in progress.track(leftovers, description="leftovers"):
            if delete_leftover(opened, leftover):
                deleted_bytes += leftover.size_bytes
            else:
                kept += 1
    out.print(f"Deleted {size_text(deleted_bytes)}." + (f" {kept} are in use, or gone already." if kept else ""))


@app.command()
def verify(
    set_aside: Annotated[
        bool, typer.Option("--set-aside", help="Move damaged results away, so that the next run computes them again.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Compare every file of every result with its SHA-256; exit code 1 where one is damaged.

    Example: [bold]balancebench store verify --set-aside[/bold]
    """
    from balancebench.store.index import StoreIndex

    opened = _opened(store)
    keys = opened.step_keys()
    damaged: dict[str, str] = {}
    with StoreIndex(opened) as index, progress_bar("Verifying") as progress:
        task = progress.add_task("results", total=len(keys))
        for begin in range(0, len(keys), VERIFIED_TOGETHER):
            together = keys[begin : begin + VERIFIED_TOGETHER]
            damaged |= index.survey(together, anew=True)[2]
            progress.advance(task, len(together))
    err = errors_console()
    for key, problem in damaged.items():
        err.print(f"{opened.folder(key)}/{problem}", style="red", markup=False, soft_wrap=True)
        if set_aside:
            opened.set_aside(key)
    moved = f"; they were moved to {opened.root / 'set_aside'}" if set_aside and damaged else ""
    console().print(f"{len(keys):,} results, {len(damaged)} damaged{moved}", markup=False, soft_wrap=True)
    if damaged:
        raise typer.Exit(SOME_FAILED)


@app.command("export")
def export_archive(
    archive: ArchiveArgument,
    keys: Annotated[
        list[str] | None, typer.Argument(help="Keys of steps, or how they begin.", metavar="[KEY]...")
    ] = None,
    suite: SuitesOption = None,
    stage: StageOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write finished steps to one archive: all that suites need, or those named, or everything.

    Example: [bold]balancebench store export results.tar.gz --suite suites/quickstart.toml[/bold]

    Only the scores: [bold]balancebench store export scores.tar.gz --suite mine.toml --stage score[/bold]
    """
    from balancebench.store.archive import export_steps

    opened = _opened(store)
    chosen: set[str] | None = None
    if suite or keys:
        chosen = _needed(suite or []) | {whole_key(opened, beginning) for beginning in keys or []}
    finished = [known.key for known in _known_steps(opened, chosen, stage) if known.status == "done"]
    if not finished:
        raise BalancebenchError(f"{opened.root} has no finished steps of these; run the suite first")
    with progress_bar("Exporting") as progress:
        task = progress.add_task("steps", total=len(finished))
        export_steps(opened, finished, archive, lambda count: progress.update(task, completed=count))
    asked = {key for path in suite or [] for key, step in bound_plan(path, None).steps.items() if _is_of(step, stage)}
    if lacking := len(asked.difference(finished)):
        errors_console().print(f"{lacking:,} steps that the suites need are not done, and left out", style="yellow")
    size = size_text(archive.stat().st_size)
    console().print(f"{archive}: {len(finished):,} steps, {size}", markup=False, soft_wrap=True)


@app.command("import")
def import_archive(archive: ArchiveArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Put the steps of an archive into the store, each compared with its SHA-256; what is done there stays.

    Example: [bold]balancebench store import results.tar.gz --store balancebench-store[/bold]
    """
    from balancebench.store import Store
    from balancebench.store.archive import import_steps

    if not archive.is_file():
        raise BalancebenchError(f"there is no archive {archive}; write one with: balancebench store export {archive}")
    opened = Store.open(store)
    with progress_bar("Importing") as progress:
        task = progress.add_task("steps", total=None)
        imported = import_steps(opened, archive, lambda count: progress.update(task, completed=count))
    console().print(
        f"{len(imported.new):,} steps are new in {opened.root}, {len(imported.present):,} were there already",
        markup=False,
        soft_wrap=True,
    )


def _opened(store: Path) -> Store:
    from balancebench.store import Store

    return Store.open(store, create=False)


def _needed(suites: Collection[Path]) -> set[str]:
    """Return the keys of all steps that suites need, under any of their profiles."""
    return {key for suite in suites for plan in plans_of_all_profiles(suite).values() for key in plan.steps}


def _known_steps(opened: Store, chosen: Collection[str] | None, stages: Collection[str] | None) -> list[KnownStep]:
    """Return what is known of the steps in a store, of these keys and stages where any are given."""
    from balancebench.store.index import StoreIndex

    if unknown := sorted(set(stages or ()) - set(STAGES)):
        raise BalancebenchError(f"there is no stage {unknown[0]!r}; stages are {', '.join(STAGES)}")
    with StoreIndex(opened) as index, progress_bar("Reading") as progress:
        keys = [key for key in opened.step_keys() if chosen is None or key in chosen]
        task = progress.add_task("records", total=len(keys))
        steps: list[KnownStep] = []
        for key in index.prefetched(keys):
            known = index.step(key)
            if known is None:
                errors_console().print(
                    f"left out: {opened.folder(key)}/{opened.record_problem(key)}",
                    style="yellow",
                    markup=False,
                    soft_wrap=True,
                )
            elif not stages or known.stage in stages:
                steps.append(known)
            progress.advance(task)
    return steps


def _is_of(step: Step, stages: Collection[str] | None) -> bool:
    return not stages or step.stage in stages
