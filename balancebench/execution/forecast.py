"""What is still to run of a plan will take about as long as like steps took: a forecast of time and disk.

Two steps are alike that differ in their seeds alone; where none of those has finished, those of the same stage, data
set and classifier are, whatever their balancer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any, NamedTuple

from balancebench.config import JSON, canonical_json
from balancebench.plan import Plan
from balancebench.stage import STAGES, Stage
from balancebench.step import Step
from balancebench.store import Store
from balancebench.store.index import StoreIndex

__all__ = ["Forecast", "Likenesses", "Measurement", "forecast", "likenesses", "measured_on", "measured_steps"]

SEEDS = frozenset({"seed", "generator_seed", "classifier_seed"})
UNKNOWN = ""  # no likeness is
TEXTS_KEPT = 4096  # of identities and provenances, most of which many steps share


class Likenesses(NamedTuple):
    """What steps have in common that are alike: but for their seeds, or also but for their balancer."""

    but_for_seeds: str
    but_for_balancer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a finished step took.

    device: "cpu", "cuda" or "mps". hardware: the name of the GPU or the processor, "" where its record does not say.
    """

    alike: Likenesses
    device: str
    hardware: str
    seconds: float
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What the steps of a stage that are to run will take, one after the other, by the median of like steps.

    steps: how many. unknown: of these, how many are like no finished one: what follows leaves them out.
    least_seconds, most_seconds: if each took as long as the quickest and the slowest like it.
    """

    steps: int
    unknown: int
    seconds: float
    least_seconds: float
    most_seconds: float
    size_bytes: int


def measured_steps(plan: Plan, to_run: Iterable[Step], store: Store) -> list[Measurement]:
    """Return what the finished steps of a plan took, of the stages that have steps to run."""
    pending = {step.key: step.stage for step in to_run}
    stages = set(pending.values())
    measured: list[Measurement] = []
    with StoreIndex(store) as index:
        for key, step in plan.steps.items():
            if key in pending or step.stage not in stages:
                continue
            known = index.step(key)
            if known is not None and known.status == "done":
                device, hardware = _recorded_on(known.provenance)
                measured.append(
                    Measurement(
                        alike=_likenesses_of(step),
                        device=device,
                        hardware=hardware,
                        seconds=known.duration_seconds,
                        size_bytes=known.size_bytes,
                    )
                )
    return measured


def forecast(to_run: Iterable[Step], measured: Iterable[Measurement]) -> dict[Stage, Forecast]:
    """Return, for each stage with steps to run, what they will take by what was measured of like ones."""
    waiting: dict[Stage, list[Step]] = {}
    for step in to_run:
        waiting.setdefault(step.stage, []).append(step)
    by_likeness: dict[str, list[Measurement]] = {}
    for measurement in measured:
        for likeness in measurement.alike:
            by_likeness.setdefault(likeness, []).append(measurement)
    return {stage: _of_stage(waiting[stage], by_likeness) for stage in STAGES if stage in waiting}


def likenesses(stage: Stage, task: str, dataset: str, identity: Mapping[str, Any]) -> Likenesses:
    """Return what a step has in common with those that are alike.

    task: its label without the seed. dataset: its data set's label. identity: what decides its outcome, its inputs'
    keys left out.
    """
    settings = {name: value for name, value in identity["settings"].items() if name not in SEEDS}
    classifier = identity["components"].get("classifier")
    return Likenesses(
        but_for_seeds=canonical_json([task, {**identity, "settings": settings}]),
        but_for_balancer=canonical_json([stage, dataset, classifier, settings, identity["profile"]]),
    )


def measured_on(provenance: Mapping[str, JSON]) -> tuple[str, str]:
    """Return device and hardware of a record's provenance, as `Measurement` has them."""
    device = str(provenance.get("device", "cpu")).partition(":")[0]
    hardware = provenance.get("processor" if device == "cpu" else "device_name", "")
    return device, str(hardware)


@lru_cache(TEXTS_KEPT)
def _recorded_on(provenance: str) -> tuple[str, str]:
    return measured_on(json.loads(provenance))


def _likenesses_of(step: Step) -> Likenesses:
    return _likenesses_known(step.stage, step.label.partition(" / seed ")[0], step.dataset, step.own_identity)


@lru_cache(TEXTS_KEPT)
def _likenesses_known(stage: Stage, task: str, dataset: str, own_identity: str) -> Likenesses:
    return likenesses(stage, task, dataset, json.loads(own_identity))


def _of_stage(steps: list[Step], by_likeness: Mapping[str, list[Measurement]]) -> Forecast:
    counts = Counter(
        next((likeness for likeness in _likenesses_of(step) if likeness in by_likeness), UNKNOWN) for step in steps
    )
    unknown = counts.pop(UNKNOWN, 0)
    seconds, least_seconds, most_seconds, size_bytes = 0.0, 0.0, 0.0, 0.0
    for likeness, count in counts.items():
        like = by_likeness[likeness]
        durations = [measurement.seconds for measurement in like]
        seconds += count * median(durations)
        least_seconds += count * min(durations)
        most_seconds += count * max(durations)
        size_bytes += count * median(measurement.size_bytes for measurement in like)
    return Forecast(
        steps=len(steps),
        unknown=unknown,
        seconds=seconds,
        least_seconds=least_seconds,
        most_seconds=most_seconds,
        size_bytes=round(size_bytes),
    )
