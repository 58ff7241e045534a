"""The commands that look at a suite before it runs: plan, validate."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from balancebench.cli.shared import (
    JsonFlag,
    ProfileOption,
    StoreOption,
    SuiteArgument,
    bound_plan,
    console,
    plans_of_all_profiles,
    print_advice,
    print_json,
)
from balancebench.folders import DEFAULT_STORE
from balancebench.stage import STAGES

if TYPE_CHECKING:
    from balancebench.execution.survey import Survey

__all__ = ["plan", "validate"]

SHOWN_STEPS = 20


def plan(
    suite: SuiteArgument, profile: ProfileOption = None, store: StoreOption = DEFAULT_STORE, json: JsonFlag = False
) -> None:
    """Show the steps of a suite: what is in the store and what will run.

    Example: [bold]balancebench plan suites/quickstart.toml --json[/bold]
    """
    from balancebench.execution.precision import precision_advice
    from balancebench.execution.survey import survey
    from balancebench.step import inputs_json
    from balancebench.store import Store

    planned = bound_plan(suite, profile)
    surveyed = survey(planned, Store(store), verify=False)
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
    table = Table("stage", box=None, header_style="dim")
    for heading in ("steps", "in the store", "failed before", "to run"):
        table.add_column(heading, justify="right")
    for stage in STAGES:
        states = Counter(_state(step.key, surveyed, to_run) for step in planned.steps.values() if step.stage == stage)
        if total := sum(states.values()):
            table.add_row(
                stage, str(total), str(states["done"]), str(states["failed"]), str(states["failed"] + states["to run"])
            )
    out.print(table)
    for step in surveyed.to_run[:SHOWN_STEPS]:
        out.print(f"  {step.key[:12]}  {step.stage:<15} {step.label}", markup=False)
    if len(surveyed.to_run) > SHOWN_STEPS:
        out.print(f"  … and {len(surveyed.to_run) - SHOWN_STEPS} more; --json lists all")
    print_advice(out, precision_advice(surveyed.to_run, "auto"))


def validate(suite: SuiteArgument) -> None:
    """Check a suite file, every profile included, and say all that is wrong with it, and what its seeds can tell.

    Example: [bold]balancebench validate suites/quickstart.toml[/bold]
    """
    from balancebench.suite.seed_advice import seed_advice

    out = console()
    for profile, planned in plans_of_all_profiles(suite).items():
        name = suite if profile is None else f"  profile {profile}"
        out.print(f"{name}: good; {len(planned.cells)} cells, {len(planned.steps)} steps", markup=False)
        if profile is None and (advice := seed_advice(planned.suite)) is not None:
            out.print(f"  {advice}", style="dim", markup=False, soft_wrap=True)


def _state(key: str, surveyed: Survey, to_run: set[str]) -> str:
    if key in surveyed.done:
        return "done"
    if key not in to_run:
        return "not needed"
    return "failed" if key in surveyed.failed else "to run"
