"""The commands that plan and execute a suite: run, plan, validate, rescore."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balancebench.cli.drawing import PicturesFlag, draw_pictures
from balancebench.cli.shared import (
    INTERRUPTED,
    SOME_FAILED,
    JsonFlag,
    ProfileOption,
    StoreOption,
    SuiteArgument,
    bound_plan,
    console,
    data_root,
    errors_console,
    parse_duration,
    parse_size,
    print_json,
)
from balancebench.config import Compilation

if TYPE_CHECKING:
    from rich.console import Console

    from balancebench.execute import Outcome, Survey
    from balancebench.plan import Plan, Stage
    from balancebench.store import Store

__all__ = ["carry_out", "plan", "rescore", "results_folder", "run", "validate"]

DEFAULT_STORE = Path("balancebench-store")
SHOWN_FAILURES = 20

JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=0,
        help="Worker processes; default: the suite's jobs_per_gpu (1) for each GPU, or up to 4 on CPU. "
        "0 runs in this process.",
        metavar="N",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.", metavar="DEVICE")]
TimeOption = Annotated[
    str | None, typer.Option("--time-limit", help="Stop a step after this long: 90s, 10m, 2h.", metavar="TIME")
]
MemoryOption = Annotated[
    str | None, typer.Option("--memory-limit", help="Stop a step past this much memory: 512M, 8G.", metavar="SIZE")
]
CompileOption = Annotated[
    Compilation,
    typer.Option(
        "--compile",
        help="torch.compile for networks: auto (on CUDA, long runs of suites that are not deterministic), always or "
        "never. Records say what was done.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", help="Folder for the leaderboard; default results/NAME of the suite.", metavar="DIR"),
]


def run(
    suite: SuiteArgument,
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    output: OutputOption = None,
    jobs: JobsOption = None,
    device: DeviceOption = "auto",
    time_limit: TimeOption = None,
    memory_limit: MemoryOption = None,
    compilation: CompileOption = "auto",
    pictures: PicturesFlag = True,
) -> None:
    """Run what is missing of a suite and write its leaderboard.

    A second run continues where the first one ended, and answers from the store what is already there.

    Example: [bold]balancebench run suites/quickstart.toml --jobs 2 --time-limit 10m[/bold]
    """
    from balancebench.store import Store

    seconds, memory_bytes = parse_duration(time_limit), parse_size(memory_limit)
    planned = bound_plan(suite, profile)
    opened = Store.open(store)
    outcome = carry_out(
        planned,
        opened,
        jobs=jobs,
        device=device,
        seconds=seconds,
        memory_bytes=memory_bytes,
        stages=None,
        compilation=compilation,
    )
    _report(planned, opened, output, outcome, pictures=pictures)


def rescore(
    suite: SuiteArgument,
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    output: OutputOption = None,
    jobs: JobsOption = None,
) -> None:
    """Compute the suite's metrics from stored logits, for metrics added since; never trains.

    Example: add "f1" to the suite's `metrics`, then [bold]balancebench rescore suites/quickstart.toml[/bold]
    """
    from balancebench.store import Store

    planned = bound_plan(suite, profile)
    opened = Store.open(store, create=False)
    outcome = carry_out(
        planned, opened, jobs=jobs, device="cpu", seconds=None, memory_bytes=None, stages=frozenset({"score"})
    )
    _report(planned, opened, output, outcome, pictures=True)


def plan(
    suite: SuiteArgument, profile: ProfileOption = None, store: StoreOption = DEFAULT_STORE, json: JsonFlag = False
) -> None:
    """Show the steps of a suite: what is in the store and what will run.

    Example: [bold]balancebench plan suites/quickstart.toml --json[/bold]
    """
    from balancebench.execute import survey
    from balancebench.plan import STAGES
    from balancebench.store import Store

    planned = bound_plan(suite, profile)
    found = survey(planned, Store(store), verify=False)
    to_run = {step.key for step in found.to_run}
    if json:
        steps = [
            {
                "key": step.key,
                "stage": step.stage,
                "label": step.label,
                "state": _state(step.key, found, to_run),
                "inputs": dict(step.inputs),
            }
            for step in planned.steps.values()
        ]
        cells = [
            {
                "dataset": cell.task.dataset,
                "imbalancer": cell.task.imbalancer,
                "classifier": cell.task.classifier,
                "balancer": cell.balancer,
                "seeds": cell.seeds._asdict(),
                "role": cell.role,
                "steps": dict(cell.steps),
            }
            for cell in planned.cells
        ]
        print_json({"suite": planned.suite.name, "profile": profile, "steps": steps, "cells": cells})
        return
    from rich.table import Table

    out = console()
    out.print(f"[bold]{planned.suite.title}[/bold]: {len(planned.cells)} cells, {len(planned.steps)} steps in {store}")
    table = Table("stage", box=None, header_style="dim")
    for heading in ("steps", "in the store", "failed before", "to run"):
        table.add_column(heading, justify="right")
    for stage in STAGES:
        states = Counter(_state(step.key, found, to_run) for step in planned.steps.values() if step.stage == stage)
        if total := sum(states.values()):
            table.add_row(
                stage, str(total), str(states["done"]), str(states["failed"]), str(states["failed"] + states["to run"])
            )
    out.print(table)
    for step in found.to_run[:SHOWN_FAILURES]:
        out.print(f"  {step.key[:12]}  {step.stage:<10} {step.label}", markup=False)
    if len(found.to_run) > SHOWN_FAILURES:
        out.print(f"  … and {len(found.to_run) - SHOWN_FAILURES} more; --json lists all")


def validate(suite: SuiteArgument) -> None:
    """Check a suite file, every profile included, and say all that is wrong with it.

    Example: [bold]balancebench validate suites/quickstart.toml[/bold]
    """
    planned = bound_plan(suite, None)
    out = console()
    out.print(f"{suite}: good; {len(planned.cells)} cells, {len(planned.steps)} steps", markup=False)
    import tomli

    for profile in tomli.loads(suite.read_text(encoding="utf-8")).get("profile", {}):
        small = bound_plan(suite, profile)
        out.print(f"  profile {profile}: good; {len(small.cells)} cells, {len(small.steps)} steps", markup=False)


def _state(key: str, found: Survey, to_run: set[str]) -> str:
    if key in found.done:
        return "done"
    if key not in to_run:
        return "not needed"
    return "failed" if key in found.failed else "to run"


def carry_out(
    planned: Plan,
    store: Store,
    *,
    jobs: int | None,
    device: str,
    seconds: float | None,
    memory_bytes: int | None,
    stages: frozenset[Stage] | None,
    compilation: Compilation = "auto",
) -> Outcome:
    """Run what is missing of a plan, with progress on the console."""
    from balancebench.cli.console import ConsoleReporter
    from balancebench.execute import Outcome, execute, survey
    from balancebench.executors.devices import slot_devices, threads_for
    from balancebench.executors.inline import InlineExecutor
    from balancebench.executors.local import LocalExecutor
    from balancebench.executors.protocol import Limits, Progressed, Site
    from balancebench.executors.provenance import describe_environment
    from balancebench.registry import load_registry
    from balancebench.stages.readiness import check_ready

    out = errors_console()
    registry = load_registry()
    for broken in registry.broken:
        out.print(f"Broken plugin, left out: {broken}", style="yellow", markup=False, soft_wrap=True)
    with out.status("Checking the store"):
        found = survey(planned, store, stages=stages)
    for key, problem in found.damaged.items():
        step = planned.steps[key]
        out.print(
            f"Damaged in the store, computed again: {step.stage} {step.label}: {problem}", style="yellow", markup=False
        )
    if not found.to_run:
        return Outcome(cached=len(found.done))
    check_ready(found.to_run, registry)
    slots = slot_devices(device, jobs or (1 if jobs == 0 else None), planned.suite.jobs_per_gpu)
    devices = slots[: max(1, len(found.to_run))]
    where = f"{len(devices)} worker{'s' if len(devices) > 1 else ''} on {devices[0].partition(':')[0]}"
    _say_start(out, planned, found, "this process" if jobs == 0 else where)
    site = Site(
        store_root=store.root,
        data_root=data_root(),
        provenance=describe_environment(registry),
        compilation=compilation,
    )
    reporter = ConsoleReporter(out, found.to_run)

    def on_progress(event: Progressed) -> None:
        reporter.balancebench_step_progress(event.key, event.done, event.total, event.message)

    if jobs == 0:
        executor = InlineExecutor(site, devices[0], on_progress)
    else:
        limits = Limits(seconds=seconds, memory_bytes=memory_bytes)
        executor = LocalExecutor(site, devices, threads_for(len(devices)), limits)
    registry.hooks.register(reporter, "balancebench-console")
    try:
        with reporter:
            return execute(planned, store, found, executor, registry, has_cuda=devices[0].startswith("cuda"))
    finally:
        registry.hooks.unregister(reporter)


def _say_start(out: Console, planned: Plan, found: Survey, where: str) -> None:
    profile = f", profile {planned.suite.profile}" if planned.suite.profile else ""
    out.print(
        f"{planned.suite.title}{profile}: {len(planned.cells)} cells, {len(found.to_run)} steps to run, "
        f"{len(found.done)} in the store; {where}",
        markup=False,
    )


def results_folder(planned: Plan) -> Path:
    """Return where a suite's leaderboard is written by default."""
    profile = f".{planned.suite.profile}" if planned.suite.profile else ""
    return Path("results") / f"{planned.suite.name}{profile}"


def _report(planned: Plan, store: Store, output: Path | None, outcome: Outcome, *, pictures: bool) -> None:
    """Write and print the leaderboard, say what went wrong, and leave with the right exit code."""
    from balancebench.execute import failures_first
    from balancebench.leaderboard.files import write_leaderboard
    from balancebench.leaderboard.results import collect
    from balancebench.leaderboard.table import build_leaderboard
    from balancebench.leaderboard.terminal import print_leaderboard

    out, err = console(), errors_console()
    results = collect(planned, store)
    board = build_leaderboard(planned.suite, results)
    folder = output or results_folder(planned)
    draw_pictures(planned, store, folder, board, "changed" if pictures and not outcome.interrupted else "none")
    markdown = write_leaderboard(folder, board)
    print_leaderboard(out, board)
    minutes, seconds = divmod(round(outcome.duration_seconds), 60)
    out.print(
        f"{outcome.ran} steps ran in {minutes}:{seconds:02d}, {outcome.cached} came from the store. "
        f"Leaderboard: {markdown}",
        markup=False,
        soft_wrap=True,
    )
    if outcome.failed:
        causes = [
            entry for entry in failures_first(outcome.failed) if entry.status != "skipped" or "input" in entry.message
        ]
        err.print(f"{len(outcome.failed)} steps did not finish:", style="red")
        shown = causes or failures_first(outcome.failed)
        for entry in shown[:SHOWN_FAILURES]:
            err.print(
                f"  {entry.status}: {entry.step.stage} {entry.step.label}: {entry.message}",
                style="red",
                markup=False,
                soft_wrap=True,
            )
            err.print(
                f"    record: {store.folder(entry.step.key) / 'record.json'}", style="dim", markup=False, soft_wrap=True
            )
        if len(outcome.failed) > len(shown[:SHOWN_FAILURES]):
            err.print(f"  {len(outcome.failed) - len(shown[:SHOWN_FAILURES])} more were skipped because of these")
    if outcome.interrupted:
        err.print("Interrupted. The same command continues.", style="yellow")
        raise typer.Exit(INTERRUPTED)
    if outcome.failed:
        raise typer.Exit(SOME_FAILED)
