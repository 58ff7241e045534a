"""The commands that run a suite: run, rescore."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balancebench.cli.picture_progress import PicturesFlag, write_with_pictures
from balancebench.cli.shared import (
    INTERRUPTED,
    SOME_FAILED,
    DebugFlag,
    ProfileOption,
    SetOption,
    StoreOption,
    SuiteArgument,
    bound_plan,
    console,
    errors_console,
    parse_duration,
    parse_size,
)
from balancebench.config import Compilation
from balancebench.errors import BalancebenchError, LeaderboardError
from balancebench.folders import DEFAULT_STORE
from balancebench.stage import Stage

if TYPE_CHECKING:
    from balancebench.execution.scheduler import Outcome
    from balancebench.plan import Cell, Plan
    from balancebench.store import Store

__all__ = ["RunOptions", "carry_out", "rescore", "results_folder", "run"]

SHOWN_FAILURES = 20

JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        min=0,
        help="Worker processes; default: the suite's jobs_per_gpu (1) for each GPU, or on the CPU what its cores and "
        "memory take. No result depends on it. 0 runs in this process.",
        metavar="N",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.", metavar="DEVICE")]
ExecutorOption = Annotated[
    str, typer.Option("--executor", help="processes (on this machine) or ray (on a cluster).", metavar="NAME")
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="The cluster of --executor ray: auto (the one this machine belongs to; the default) or HOST:PORT.",
        metavar="ADDRESS",
    ),
]
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
CheckpointOption = Annotated[
    str,
    typer.Option(
        "--checkpoints", help="How often long trainings save their state, to go on from it: 30s, 3m.", metavar="TIME"
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", help="Folder for the leaderboard; default results/NAME of the suite.", metavar="DIR"),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        help="Run only what these cells need, balancer=smote; several of one axis add up, several axes must all match. "
        "The leaderboard shows the others as missing.",
        metavar="AXIS=LABEL",
        show_default=False,
    ),
]
SeedsOption = Annotated[
    str | None, typer.Option("--seeds", help="Run only these seeds of the suite: 0,1 (or 0/1/2).", metavar="SEEDS")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="CPU threads of each step, as --set run.threads=N: another count changes last digits, and so the results' "
        "name.",
        metavar="N",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a command says of how steps are run; see the options of `run`.

    advises: whether to say where another precision would be faster.
    """

    jobs: int | None = None
    executor: str = "processes"
    ray_address: str = "auto"
    device: str = "auto"
    seconds: float | None = None
    memory_bytes: int | None = None
    compilation: Compilation = "auto"
    checkpoint_seconds: float = 180.0
    stages: frozenset[Stage] | None = None
    cells: Sequence[Cell] | None = None
    advises: bool = False


def run(
    suite: SuiteArgument,
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    output: OutputOption = None,
    jobs: JobsOption = None,
    device: DeviceOption = "auto",
    executor: ExecutorOption = "processes",
    ray_address: RayAddressOption = None,
    time_limit: TimeOption = None,
    memory_limit: MemoryOption = None,
    compilation: CompileOption = "auto",
    checkpoints: CheckpointOption = "3m",
    only: OnlyOption = None,
    seeds: SeedsOption = None,
    settings: SetOption = None,
    threads: ThreadsOption = None,
    debug: DebugFlag = False,
    pictures: PicturesFlag = True,
) -> None:
    """Run what is missing of a suite and write its leaderboard.

    A second run continues where the first one ended, and answers from the store what is already there.

    Example: [bold]balancebench run suites/quickstart.toml --jobs 2 --time-limit 10m[/bold]

    One row, one seed: [bold]balancebench run quickstart --only balancer=smote --seeds 0[/bold]
    """
    from balancebench.cell_choice import choose_cells
    from balancebench.store import Store

    if jobs == 0 and (time_limit or memory_limit):
        raise BalancebenchError(
            "--time-limit and --memory-limit end a step's process, and --jobs 0 runs steps in this one: give --jobs 1"
        )
    if jobs == 0 and executor != "processes":
        raise BalancebenchError(
            f"--jobs 0 runs steps in this process, and --executor {executor} does not: leave one out"
        )
    if ray_address is not None and executor != "ray":
        raise BalancebenchError("--ray-address names a cluster for --executor ray: give that too")
    changes = [*(settings or []), *([] if threads is None else [f"run.threads={threads}"])]
    planned = bound_plan(suite, profile, changes)
    options = RunOptions(
        jobs=jobs,
        executor=executor,
        ray_address=ray_address or "auto",
        device=device,
        seconds=parse_duration(time_limit),
        memory_bytes=parse_size(memory_limit),
        compilation=compilation,
        checkpoint_seconds=parse_duration(checkpoints) or 0.0,
        cells=choose_cells(planned, only or (), () if seeds is None else [seed.strip() for seed in seeds.split(",")]),
        advises=executor != "ray",  # whose nodes are not this machine
    )
    opened = Store.open(store)
    outcome = carry_out(planned, opened, options)
    _report(planned, opened, output, outcome, pictures=pictures, debug=debug)


def rescore(
    suite: SuiteArgument,
    profile: ProfileOption = None,
    settings: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    output: OutputOption = None,
    jobs: JobsOption = None,
) -> None:
    """Compute the suite's metrics from stored logits, for metrics added since; never trains.

    Example: add "f1" to the suite's `metrics`, then [bold]balancebench rescore suites/quickstart.toml[/bold]
    """
    from balancebench.store import Store

    planned = bound_plan(suite, profile, settings)
    opened = Store.open(store, create=False)
    options = RunOptions(jobs=jobs, device="cpu", stages=frozenset({"measure", "score"}))
    outcome = carry_out(planned, opened, options)
    _report(planned, opened, output, outcome, pictures=True)


def carry_out(planned: Plan, store: Store, options: RunOptions) -> Outcome:
    """Run what is missing of a plan, with progress on the console."""
    from balancebench.cli.console import ConsoleReporter
    from balancebench.execution.devices import ignored_threads
    from balancebench.execution.executor import Limits
    from balancebench.execution.run_plan import run_plan
    from balancebench.registry import load_registry

    err = errors_console()
    registry = load_registry()
    for broken in registry.broken:
        err.print(f"Broken plugin, left out: {broken}", style="yellow", markup=False, soft_wrap=True)
    if (ignored := ignored_threads(os.environ, planned.suite.threads)) is not None:
        err.print(ignored, style="yellow", markup=False, soft_wrap=True)
    return run_plan(
        planned,
        store,
        registry=registry,
        reporter=ConsoleReporter(err, advised_device=options.device if options.advises else None),
        executor="inline" if options.jobs == 0 else options.executor,
        ray_address=options.ray_address,
        device=options.device,
        jobs=options.jobs or None,
        limits=Limits(seconds=options.seconds, memory_bytes=options.memory_bytes),
        compilation=options.compilation,
        checkpoint_seconds=options.checkpoint_seconds,
        stages=options.stages,
        cells=options.cells,
    )


def results_folder(planned: Plan) -> Path:
    """Return where a suite's leaderboard is written by default."""
    profile = f".{planned.suite.profile}" if planned.suite.profile else ""
    return Path("results") / f"{planned.suite.name}{profile}"


def _report(
    planned: Plan, store: Store, output: Path | None, outcome: Outcome, *, pictures: bool, debug: bool = False
) -> None:
    """Write and print the leaderboard, say what went wrong, and leave with the right exit code."""
    from balancebench.execution.scheduler import failures_first
    from balancebench.leaderboard.results_in_store import read_results
    from balancebench.leaderboard.table import build_leaderboard
    from balancebench.leaderboard.terminal import print_leaderboard

    out, err = console(), errors_console()
    folder = output or results_folder(planned)
    which = "changed" if pictures and not outcome.interrupted else "none"
    unwritten: LeaderboardError | None = None
    with read_results(planned, store) as (results, outcomes):
        board = build_leaderboard(planned.suite, results, outcomes)
        try:
            markdown, _ = write_with_pictures(planned, store, folder, board, (results, outcomes), which)
            where = f" Leaderboard: {markdown}, and {markdown.with_suffix('.html').name} beside it"
        except LeaderboardError as error:  # said last, after what else went wrong, perhaps on the same full disk
            unwritten, where = error, ""
    print_leaderboard(out, board)
    minutes, seconds = divmod(round(outcome.duration_seconds), 60)
    out.print(
        f"{outcome.ran} steps ran in {minutes}:{seconds:02d}, {outcome.cached} came from the store.{where}",
        markup=False,
        soft_wrap=True,
    )
    if outcome.failed:
        causes = [
            entry for entry in failures_first(outcome.failed) if entry.status != "skipped" or "input" in entry.message
        ]
        err.print(f"{len(outcome.failed)} steps did not finish:", style="red")
        shown = causes or failures_first(outcome.failed)
        named_store = "" if store.root == DEFAULT_STORE else f" --store {store.root}"
        for entry in shown[:SHOWN_FAILURES]:
            err.print(
                f"  {entry.status}: {entry.step.stage} {entry.step.label}: {entry.message}",
                style="red",
                markup=False,
                soft_wrap=True,
            )
            err.print(
                f"    balancebench log {entry.step.key[:12]}{named_store}", style="dim", markup=False, soft_wrap=True
            )
            record = store.read(entry.step.key)
            if debug and record is not None and record.failure is not None:
                err.print(record.failure.traceback, style="dim", markup=False, soft_wrap=True)
        if len(outcome.failed) > len(shown[:SHOWN_FAILURES]):
            err.print(f"  {len(outcome.failed) - len(shown[:SHOWN_FAILURES])} more were skipped because of these")
    if unwritten is not None:
        raise unwritten
    if outcome.interrupted:
        err.print("Interrupted. The same command continues.", style="yellow")
        raise typer.Exit(INTERRUPTED)
    if outcome.failed:
        raise typer.Exit(SOME_FAILED)
