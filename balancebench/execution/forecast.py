"""What is still to run of a plan will take about as long as like steps took: a forecast of time and disk."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from statistics import median

from balancebench.plan import Plan
from balancebench.stage import STAGES, Stage
from balancebench.step import Step
from balancebench.store import Store
from balancebench.store.index import StoreIndex

__all__ = ["Forecast", "forecast"]

SEEDS = frozenset({"seed", "generator_seed", "classifier_seed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the steps of a stage that are to run will take, one after the other.

    steps: how many. unknown: of these, how many are like no finished one: seconds and size_bytes leave them out.
    """

    steps: int
    unknown: int
    seconds: float
    size_bytes: int


def forecast(plan: Plan, to_run: Iterable[Step], store: Store) -> dict[Stage, Forecast]:
    """Return, for each stage with steps to run, what they will take by the median of like steps of the plan.

    Two steps are alike that differ in their seeds alone; where none is done, those of the same stage, data set and
    classifier, whatever their balancer.
    """
    waiting: dict[Stage, list[Step]] = {}
    for step in to_run:
        waiting.setdefault(step.stage, []).append(step)
    measured: dict[Hashable, list[tuple[float, int]]] = {}
    pending = {step.key for steps in waiting.values() for step in steps}
    with StoreIndex(store) as index:
        for key, step in plan.steps.items():
            if key in pending or step.stage not in waiting:
                continue
            known = index.step(key)
            if known is not None and known.status == "done":
                for likeness in _likenesses(step):
                    measured.setdefault(likeness, []).append((known.duration_seconds, known.size_bytes))
    return {stage: _of_stage(waiting[stage], measured) for stage in STAGES if stage in waiting}


def _of_stage(steps: list[Step], measured: dict[Hashable, list[tuple[float, int]]]) -> Forecast:
    seconds, size_bytes, unknown = 0.0, 0.0, 0
    for step in steps:
        like = next((measured[likeness] for likeness in _likenesses(step) if likeness in measured), None)
        if like is None:
            unknown += 1
            continue
        seconds += median(duration for duration, _ in like)
        size_bytes += median(size for _, size in like)
    return Forecast(steps=len(steps), unknown=unknown, seconds=seconds, size_bytes=round(size_bytes))


def _likenesses(step: Step) -> tuple[Hashable, Hashable]:
    """Return what steps have in common that are alike, the closest first."""
    components = tuple((role, reference.identity) for role, reference in sorted(step.components.items()))
    settings = tuple((name, str(value)) for name, value in sorted(step.settings.items()) if name not in SEEDS)
    task = step.label.partition(" / seed ")[0]
    classifier = step.components.get("classifier")
    of_classifier = None if classifier is None else classifier.identity
    return (step.stage, task, components, settings), (step.stage, step.dataset, of_classifier, settings)
