"""The command that tells contributors whether numbers moved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balancebench.cli.run import DeviceOption, JobsOption, RunOptions, carry_out
from balancebench.cli.shared import INTERRUPTED, SOME_FAILED, JsonFlag, bound_plan, console, print_json

if TYPE_CHECKING:
    from balancebench.leaderboard.records import Records
    from balancebench.plan import Plan

__all__ = ["regress"]


def regress(
    suite: Annotated[Path, typer.Argument(help="The suite file.", metavar="SUITE")] = Path("suites/regression.toml"),
    against: Annotated[Path, typer.Option("--against", help="Folder of committed leaderboards.", metavar="DIR")] = Path(
        "leaderboard"
    ),
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            help="Folder of step results; by default a new one, deleted afterwards, so that all is computed again.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    jobs: JobsOption = None,
    device: DeviceOption = "auto",
    json: JsonFlag = False,
) -> None:
    """Run a suite afresh and compare each cell with the committed records.

    Names every cell that moved further than the spread between seeds allows, and by how much.

    Says which options, revisions or versions changed. Exits with 1 where something moved.

    Example: [bold]balancebench regress suites/regression.toml --against leaderboard[/bold]
    """
    from dataclasses import asdict
    from tempfile import TemporaryDirectory

    from balancebench.leaderboard.records import read_records
    from balancebench.leaderboard.regression import compare_with_records
    from balancebench.leaderboard.regression_text import regression_lines

    planned = bound_plan(suite, None)
    committed = read_records(against / planned.suite.name / "records.json")
    if store is not None:
        fresh = _run(planned, store, jobs, device)
    else:
        with TemporaryDirectory(prefix="balancebench-regress-") as folder:
            fresh = _run(planned, Path(folder) / "store", jobs, device)
    regression = compare_with_records(fresh, committed)
    if json:
        print_json({**asdict(regression), "failed": regression.failed})
    else:
        out = console()
        for line, style in regression_lines(regression):
            out.print(line, style=style, markup=False, soft_wrap=True)
    if regression.failed:
        raise typer.Exit(SOME_FAILED)


def _run(planned: Plan, store_root: Path, jobs: int | None, device: str) -> Records:
    from balancebench.leaderboard.records import Records
    from balancebench.leaderboard.results import describe_suite
    from balancebench.leaderboard.results_in_store import collect
    from balancebench.store import Store

    store = Store.open(store_root)
    outcome = carry_out(planned, store, RunOptions(jobs=jobs, device=device))
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    return Records(suite=describe_suite(planned.suite), cells=tuple(collect(planned, store)))
