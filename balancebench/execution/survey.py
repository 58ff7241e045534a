"""What of a plan is in the store, and what is to run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from balancebench.plan import Cell, Plan
from balancebench.stage import Stage
from balancebench.step import Step, input_keys
from balancebench.store import Record, Store
from balancebench.store.index import StoreIndex

__all__ = ["Survey", "survey"]


@dataclass(slots=True, kw_only=True)
class Survey:
    """What of a plan is in the store: `done` and `damaged` keys, records of failures, and the steps to run, in order.

    Inputs of finished steps are not run again, but what is damaged is.
    """

    done: set[str]
    damaged: dict[str, str]
    failed: dict[str, Record]
    to_run: list[Step]


def survey(
    plan: Plan,
    store: Store,
    *,
    verify: bool = True,
    stages: frozenset[Stage] | None = None,
    cells: Iterable[Cell] | None = None,
) -> Survey:
    """Look up every step of a plan.

    verify: see `StoreIndex.survey`. stages: only these are to run. cells: only what these need is to run; None is all.
    """
    with StoreIndex(store) as index:
        done, failed, damaged = index.survey(plan.steps, verify=verify)
    if verify:
        for key in [key for key in done if plan.steps[key].stage == "load"]:
            if (problem := store.answers.missing(key)) is not None:
                done.discard(key)
                damaged[key] = problem
    wanted = set(damaged)
    ends = [
        key
        for cell in (plan.cells if cells is None else cells)
        for stage, key in cell.steps.items()
        if stage in ("measure", "score")
    ]
    pending = [key for key in ends if key not in done] + list(damaged)
    while pending:
        key = pending.pop()
        wanted.add(key)
        pending += [
            needed for needed in input_keys(plan.steps[key].inputs) if needed not in done and needed not in wanted
        ]
    to_run = [step for key, step in plan.steps.items() if key in wanted and (stages is None or step.stage in stages)]
    return Survey(done=done, damaged=damaged, failed=failed, to_run=to_run)
