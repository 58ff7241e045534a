"""Reads the results of a plan's cells from the store."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Required, TypedDict

from balancebench.artefacts.costs import cell_cost
from balancebench.artefacts.scores import CellScores, read_measures, scores_known
from balancebench.artefacts.splits import SplitsDescription
from balancebench.artefacts.subset import SubsetDescription
from balancebench.config import JSON
from balancebench.errors import StoreError
from balancebench.evaluation import Cost
from balancebench.leaderboard.outcomes import Outcomes, outcomes_in_store
from balancebench.leaderboard.results import ENDED, CellResult, CellStatus, SubsetSummary, unreadable_text
from balancebench.plan import Cell, Plan
from balancebench.step import BalancingInputs, input_keys, metric_key
from balancebench.store import Store
from balancebench.store.index import StoreIndex
from balancebench.store.known_step import KnownStep

__all__ = ["collect", "read_results"]

NOT_RUN = "it has not been run"
NOT_SCORED = "it is trained but not scored; `balancebench rescore` scores it without training"
PROVENANCE_KEYS = ("device", "threads", "python", "platform", "processor", "versions", "plugins", "git_commit")


def collect(plan: Plan, store: Store) -> list[CellResult]:
    """Return the result of every cell of a plan, in its order; nothing is written but the store's index."""
    with StoreIndex(store) as index:
        return _collect(plan, store, index)


@contextmanager
def read_results(plan: Plan, store: Store) -> Generator[tuple[list[CellResult], Outcomes]]:
    """Yield what `collect` returns, and the outcomes of the finished cells, each read when it is asked for.

    Inside the block they are read quickly, by the store's index.
    """
    with StoreIndex(store) as index:
        cells = _collect(plan, store, index)
        yield cells, outcomes_in_store(cells, store, index)


def _collect(plan: Plan, store: Store, index: StoreIndex) -> list[CellResult]:
    reader = _Reader(plan, store, index)
    reader.measure_all()
    return [reader.result(cell) for cell in plan.cells]


class _Measured(TypedDict, total=False):
    """What a result says of its score."""

    status: Required[CellStatus]
    message: Required[str]
    scores: CellScores
    cost: Cost | None
    used_withheld_data: bool
    outside_data: tuple[str, ...]
    warnings: tuple[str, ...]
    balancer_failed: bool
    provenance: dict[str, JSON]


class _Reader:
    """Reads a store for one plan."""

    def __init__(self, plan: Plan, store: Store, index: StoreIndex) -> None:
        self._plan = plan
        self._store = store
        self._index = index
        self._metric_keys = {metric.label: metric_key(metric.reference) for metric in plan.suite.metrics}
        self._known: dict[str, KnownStep | None] = {}
        self._subsets: dict[tuple[str, str, str | None], SubsetSummary | None] = {}
        self._test_images: dict[str, int | None] = {}
        self._measured: dict[str, _Measured] = {}
        self._identities: dict[str, dict[str, JSON]] = {}
        self._environments: dict[str, dict[str, JSON]] = {}

    def measure_all(self) -> None:
        """Read trainings and scores, each once."""
        cells = {cell.steps["score"]: cell for cell in self._plan.cells}
        for key in self._index.prefetched({cell.steps["train"] for cell in cells.values()}):
            self._known[key] = self._index.step(key)
        for key in self._index.prefetched(cells):
            self._measured[key] = self._measure(cells[key])

    def result(self, cell: Cell) -> CellResult:
        """Return the result of a cell, once all are measured."""
        return CellResult(
            task=cell.task,
            balancer=cell.balancer,
            seeds=cell.seeds,
            role=cell.role,
            steps=cell.steps,
            identities={stage: self._identity(step) for stage, step in cell.steps.items()},
            subset=self._subset(cell),
            **self._measured[cell.steps["score"]],
        )

    def _measure(self, cell: Cell) -> _Measured:
        trained, scored = self._known[cell.steps["train"]], self._index.step(cell.steps["score"])
        if scored is None or scored.status != "done":
            return self._why_not(cell, scored, trained)
        try:
            scores = scores_known(self._index, scored, self._metric_keys)
        except StoreError as error:
            return {"status": "missing", "message": unreadable_text(str(error))}
        balancer = self._training_inputs(cell).balancer
        return {
            "status": "done",
            "message": "",
            "scores": scores,
            "cost": None if trained is None else cell_cost(trained, balancer, self._step),
            "used_withheld_data": bool(scored.used_withheld_data),
            "outside_data": tuple(json.loads(scored.outside_data)),
            "warnings": tuple(json.loads(scored.warnings)),
            "provenance": self._environment(trained or scored),
        }

    def _why_not(self, cell: Cell, scored: KnownStep | None, trained: KnownStep | None) -> _Measured:
        """Return status and message of a cell that is not done, from the first step on its way that has not ended."""
        for key, own in ((cell.steps["score"], scored), (cell.steps["train"], trained)):
            if own is None and os.path.exists(self._store.folder(key)) and (problem := self._store.record_problem(key)):
                return {"status": "missing", "message": unreadable_text(f"{self._store.folder(key)}/{problem}")}
        for own in (scored, trained):
            if own is not None and own.status != "done":
                return {"status": own.status, "message": _message(own), "provenance": self._environment(own)}
        # A trained cell may still wait for what its metrics compare images with, which is trained by itself.
        awaited = "train" if trained is None else "score"
        training = self._training_inputs(cell)
        for step in reversed(list(self._plan.ancestors(cell.steps[awaited]))):
            known = self._step(step.key)
            if known is not None and known.status != "done":
                ended = ENDED.get(known.status, "was skipped")
                message = f"{step.stage} of {step.label} {ended}: {_message(known)}"
                return {
                    "status": "skipped",
                    "message": message,
                    "balancer_failed": known.status in ENDED and step.key in input_keys(training.balancer),
                    "provenance": self._environment(known),
                }
        return {"status": "missing", "message": NOT_RUN if trained is None else NOT_SCORED}

    def _training_inputs(self, cell: Cell) -> BalancingInputs:
        inputs = self._plan.steps[cell.steps["train"]].inputs
        assert isinstance(inputs, BalancingInputs)  # noqa: S101 - what trainings read
        return inputs

    def _step(self, key: str) -> KnownStep | None:
        if key not in self._known:
            self._known[key] = self._index.step(key)
        return self._known[key]

    def _environment(self, known: KnownStep) -> dict[str, JSON]:
        """Return what a leaderboard says of where a step was run, one object for all that were run alike."""
        text = known.provenance
        if text not in self._environments:
            provenance = json.loads(text)
            self._environments[text] = {key: provenance[key] for key in PROVENANCE_KEYS if key in provenance}
        return self._environments[text]

    def _subset(self, cell: Cell) -> SubsetSummary | None:
        keys = cell.steps["load"], cell.steps["imbalance"], cell.steps.get("measure")
        if keys not in self._subsets:
            self._subsets[keys] = self._read_subset(*keys)
        return self._subsets[keys]

    def _read_subset(self, dataset_key: str, key: str, measures_key: str | None) -> SubsetSummary | None:
        try:
            description = SubsetDescription.read(self._store, key)
        except StoreError:
            return None
        try:
            measures = {} if measures_key is None else read_measures(self._store, measures_key, self._metric_keys)
        except StoreError:
            measures = {}
        return SubsetSummary(
            fingerprint=description.fingerprint,
            class_names=description.class_names,
            counts_K=description.counts_K,
            test_images=self._count_test_images(dataset_key),
            measures=measures,
        )

    def _count_test_images(self, key: str) -> int | None:
        if key not in self._test_images:
            try:
                self._test_images[key] = sum(SplitsDescription.read(self._store, key).counts_K["test"])
            except StoreError:
                self._test_images[key] = None
        return self._test_images[key]

    def _identity(self, key: str) -> dict[str, JSON]:
        """Return what a step's key is the hash of, its inputs left out: one object for all steps that have it so."""
        text = self._plan.steps[key].own_identity
        if text not in self._identities:
            self._identities[text] = json.loads(text)
        return self._identities[text]


def _message(known: KnownStep) -> str:
    return known.failure or known.status
