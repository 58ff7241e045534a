"""The commands that look at a suite before it runs: plan, validate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from balancebench.cli.plan_cost import cost_json, costs_by_device, measured_in_records, print_cost
from balancebench.cli.presentation import duration_text, size_text
from balancebench.cli.shared import (
    JsonFlag,
    ProfileOption,
    SetOption,
    StoreOption,
    SuiteArgument,
    bound_plan,
    console,
    plans_of_all_profiles,
    print_advice,
    print_json,
)
from balancebench.errors import BalancebenchError
from balancebench.folders import DEFAULT_STORE
from balancebench.stage import STAGES

if TYPE_CHECKING:
    from rich.console import Console

    from balancebench.execution.forecast import Forecast
    from balancebench.execution.survey import Survey

__all__ = ["plan", "validate"]

SHOWN_STEPS = 20
CostFlag = Annotated[
    bool,
    typer.Option("--cost", help="Show hours by stage and device instead, by what like steps took, with their range."),
]
RecordsOption = Annotated[
    Path | None,
    typer.Option("--records", help="With --cost: count with the committed records in DIR/NAME too.", metavar="DIR"),
]


def plan(
    suite: SuiteArgument,
    profile: ProfileOption = None,
    settings: SetOption = None,
    store: StoreOption = DEFAULT_STORE,
    cost: CostFlag = False,
    records: RecordsOption = None,
    json: JsonFlag = False,
) -> None:
    """Show the steps of a suite: what is in the store and what will run.

    Example: [bold]balancebench plan suites/quickstart.toml --json[/bold]

    Hours by stage and device: [bold]balancebench plan quickstart --cost --records leaderboard[/bold]
    """
    from balancebench.execution.forecast import forecast, measured_steps
    from balancebench.execution.precision import precision_advice
    from balancebench.execution.readiness import slow_here
    from balancebench.execution.survey import survey
    from balancebench.step import inputs_json
    from balancebench.store import Store

    if records is not None and not cost:
        raise BalancebenchError("--records says what --cost counts with: give that too")
    planned = bound_plan(suite, profile, settings)
    opened = Store(store)
    surveyed = survey(planned, opened, verify=False)
    measured = measured_steps(planned, surveyed.to_run, opened) if surveyed.done else []
    if cost:
        measured += [] if records is None else measured_in_records(records, planned)
        costs = costs_by_device(surveyed.to_run, measured)
        if json:
            print_json({"suite": planned.suite.name, "profile": profile, "cost": cost_json(costs)})
        else:
            print_cost(costs, console())
        return
    to_run = {step.key for step in surveyed.to_run}
    if json:
        steps = [
            {
                "key": step.key,
                "stage": step.stage,
                "label": step.label,
                "state": _state(step.key, surveyed, to_run),
                "inputs": inputs_json(step.inputs),
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
    from rich.text import Text

    out = console()
    out.print(Text(planned.suite.title, style="bold"), end="")
    out.print(f": {len(planned.cells)} cells, {len(planned.steps)} steps in {store}", markup=False, soft_wrap=True)
    forecasts = forecast(surveyed.to_run, measured) if surveyed.done else {}
    table = Table("stage", box=None, header_style="dim")
    for heading in ("steps", "in the store", "failed before", "to run", "about", "disk"):
        table.add_column(heading, justify="right")
    for stage in STAGES:
        states = Counter(_state(step.key, surveyed, to_run) for step in planned.steps.values() if step.stage == stage)
        if total := sum(states.values()):
            table.add_row(
                stage,
                str(total),
                str(states["done"]),
                str(states["failed"]),
                str(states["failed"] + states["to run"]),
                *_foretold(forecasts.get(stage), states["failed"] + states["to run"]),
            )
    out.print(table)
    for step in surveyed.to_run[:SHOWN_STEPS]:
        out.print(f"  {step.key[:12]}  {step.stage:<15} {step.label}", markup=False)
    if len(surveyed.to_run) > SHOWN_STEPS:
        out.print(f"  … and {len(surveyed.to_run) - SHOWN_STEPS} more; --json lists all")
    _print_total(forecasts.values(), len(surveyed.to_run), out)
    print_advice(out, precision_advice(surveyed.to_run, "auto"))
    for warning in slow_here(planned, surveyed.to_run):
        out.print(warning, style="yellow", markup=False, soft_wrap=True)


def validate(suite: SuiteArgument) -> None:
    """Check a suite file, every profile included, and say all that is wrong with it, and what its seeds can tell.

    Example: [bold]balancebench validate suites/quickstart.toml[/bold]
    """
    from balancebench.execution.readiness import check_names
    from balancebench.suite.remarks import ranking_advice, seed_advice

    out = console()
    for profile, planned in plans_of_all_profiles(suite).items():
        check_names(planned)
        name = suite if profile is None else f"  profile {profile}"
        out.print(f"{name}: good; {len(planned.cells)} cells, {len(planned.steps)} steps", markup=False)
        for advice in (seed_advice(planned.suite), ranking_advice(planned.suite)) if profile is None else ():
            if advice is not None:
                out.print(f"  {advice}", style="dim", markup=False, soft_wrap=True)


def _foretold(foretold: Forecast | None, waiting: int) -> tuple[str, str]:
    """Return time and disk of a stage's steps as a table shows them; nothing where none is to run."""
    if not waiting:
        return "", ""
    if foretold is None or foretold.unknown == foretold.steps:
        return "unknown", "unknown"
    more = "+" if foretold.unknown else ""
    return duration_text(foretold.seconds) + more, size_text(foretold.size_bytes) + more


def _print_total(forecasts: Iterable[Forecast], waiting: int, out: Console) -> None:
    """Say how long all will take one after the other, and how to learn it where nothing is known."""
    listed = list(forecasts)
    unknown = sum(foretold.unknown for foretold in listed) if listed else waiting
    if waiting and unknown == waiting:
        out.print("No like step is in the store yet: --seeds 0 of a run tells what one seed takes", style="dim")
    elif waiting:
        seconds = sum(foretold.seconds for foretold in listed)
        but = f", and {unknown} steps like none before" if unknown else ""
        out.print(f"About {duration_text(seconds)} of work by like steps{but}; workers share it", markup=False)


def _state(key: str, surveyed: Survey, to_run: set[str]) -> str:
    if key in surveyed.done:
        return "done"
    if key not in to_run:
        return "not needed"
    return "failed" if key in surveyed.failed else "to run"
