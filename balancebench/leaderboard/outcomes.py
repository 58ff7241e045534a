"""Outcomes beside committed records: which test images each cell predicted right, and its confusion matrix.

Statistics of differences between rows need them image by image, and stores are not committed. The file is JSON, one
cell a line; records.json holds its SHA-256. What is long in it is packed, as base 64: labels and confusion matrices
through zlib, correctness as one bit an image.

Axis suffixes: N test images, K classes.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from balancebench.artefacts.scores import CellOutcomes, Outcome, outcomes_known, read_outcomes
from balancebench.artefacts.splits import SplitsDescription, read_test_labels
from balancebench.errors import LeaderboardError, StoreError
from balancebench.evaluation import Report
from balancebench.leaderboard.records import Records, laid_out
from balancebench.leaderboard.results import CellResult
from balancebench.leaderboard.sealed_file import read_sealed
from balancebench.store import Store
from balancebench.store.index import StoreIndex

__all__ = [
    "OUTCOMES",
    "DatasetOutcomes",
    "Outcomes",
    "collect_outcomes",
    "outcomes_in_store",
    "outcomes_problems",
    "outcomes_text",
    "read_committed_outcomes",
]

OUTCOMES = "outcomes.json"
FORMAT = 1
RECENTLY_READ = 1000  # cells: those of a task are asked for under each report, and for the page
LABEL, COUNT = "<u2", "<u4"  # NumPy's types of a label and of a count of images, in the file


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetOutcomes:
    """What became of a data set's test images.

    labels_N: int64, in the data set's order. cells: score key -> report -> outcome.
    """

    labels_N: NDArray[np.int64]
    class_count: int
    cells: Mapping[str, CellOutcomes]


Outcomes: TypeAlias = Mapping[str, DatasetOutcomes]
"""Key of the load step -> outcomes on what it loaded."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Dataset(_Frozen):
    load: str
    classes: int = Field(ge=1)
    images: int = Field(ge=0)
    labels: str


class _Packed(_Frozen):
    confusion: str
    correct: str


class _Cell(_Frozen):
    score: str
    dataset: int = Field(ge=0)
    reports: dict[Report, _Packed]


def collect_outcomes(cells: Sequence[CellResult], store: Store) -> Outcomes:
    """Return the outcomes of all finished cells; raise LeaderboardError where the store has lost any."""
    try:
        return {
            load_key: DatasetOutcomes(
                labels_N=read_test_labels(store, load_key),
                class_count=len(SplitsDescription.read(store, load_key).class_names),
                cells={key: read_outcomes(store, key) for key in score_keys},
            )
            for load_key, score_keys in _measurements(cells).items()
        }
    except StoreError as error:
        raise LeaderboardError(f"{error}; run the suite again") from error


def outcomes_in_store(cells: Sequence[CellResult], store: Store, index: StoreIndex) -> Outcomes:
    """Return the outcomes of finished cells that the store has; what it lacks or cannot read is left out.

    Each is read when it is asked for: those of 100,000 cells are gigabytes.
    """
    outcomes: dict[str, DatasetOutcomes] = {}
    for load_key, score_keys in _measurements(cells).items():
        with suppress(StoreError):
            outcomes[load_key] = DatasetOutcomes(
                labels_N=read_test_labels(store, load_key),
                class_count=len(SplitsDescription.read(store, load_key).class_names),
                cells=_CellsInStore(index, score_keys),
            )
    return outcomes


class _CellsInStore(Mapping[str, CellOutcomes]):
    """Score key -> outcomes, those that the store has."""

    def __init__(self, index: StoreIndex, score_keys: Iterable[str]) -> None:
        self._keys = dict.fromkeys(score_keys)
        self._read = lru_cache(RECENTLY_READ)(partial(_known_outcomes, index))

    def __getitem__(self, key: str) -> CellOutcomes:
        outcomes = self._read(key) if key in self._keys else None
        if outcomes is None:
            raise KeyError(key)
        return outcomes

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._keys if self._read(key) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _known_outcomes(index: StoreIndex, key: str) -> CellOutcomes | None:
    known = index.step(key)
    if known is None or known.status != "done":
        return None
    try:
        return outcomes_known(index, known)
    except StoreError:
        return None


def _measurements(cells: Sequence[CellResult]) -> Mapping[str, Iterable[str]]:
    """Return key of the load step -> the score keys of its finished cells, each once."""
    keys: dict[str, dict[str, None]] = {}
    for cell in cells:
        if cell.status == "done":
            keys.setdefault(cell.steps["load"], {})[cell.score_key] = None
    return keys


def outcomes_text(outcomes: Outcomes) -> str:
    """Return the file's text."""
    datasets: list[Any] = []
    cells: list[Any] = []
    for index, (load_key, of_dataset) in enumerate(sorted(outcomes.items())):
        labels = _packed(of_dataset.labels_N, LABEL)
        datasets.append(
            _Dataset(
                load=load_key, classes=of_dataset.class_count, images=len(of_dataset.labels_N), labels=labels
            ).model_dump()
        )
        for score_key, reports in sorted(of_dataset.cells.items()):
            packed: dict[Report, _Packed] = {
                report: _Packed(
                    confusion=_packed(outcome.confusion_KK(of_dataset.class_count), COUNT), correct=outcome.correct
                )
                for report, outcome in reports.items()
            }
            cells.append(_Cell(score=score_key, dataset=index, reports=packed).model_dump())
    return laid_out({"format": FORMAT, "datasets": datasets, "cells": cells})


def read_committed_outcomes(folder: Path, records: Records) -> Outcomes:
    """Return the outcomes beside records, none where the records were made without.

    Raises LeaderboardError where the file is missing, or is not the one that was written with the records.
    """
    if records.outcomes_sha256 is None:
        return {}
    return read_sealed(folder / OUTCOMES, records.outcomes_sha256, _parsed, kind="outcomes", version=FORMAT)


def outcomes_problems(folder: Path, records: Records) -> list[str]:
    """Return what is wrong with the outcomes beside records, each with the file's path."""
    if records.outcomes_sha256 is None and (folder / OUTCOMES).exists():
        return [f"{folder / OUTCOMES} is of other records: those beside it were written without"]
    try:
        read_committed_outcomes(folder, records)
    except LeaderboardError as error:
        return [str(error)]
    return []


def _parsed(document: dict[str, Any]) -> Outcomes:
    datasets = [_Dataset.model_validate(entry) for entry in document["datasets"]]
    cells_of: list[dict[str, CellOutcomes]] = [{} for _ in datasets]
    labels_of = [_unpacked(dataset.labels, LABEL, dataset.images) for dataset in datasets]
    for cell in (_Cell.model_validate(entry) for entry in document["cells"]):
        classes = datasets[cell.dataset].classes
        cells_of[cell.dataset][cell.score] = {
            report: _outcome(packed, labels_of[cell.dataset], classes) for report, packed in cell.reports.items()
        }
    return {
        dataset.load: DatasetOutcomes(labels_N=labels_N, class_count=dataset.classes, cells=cells)
        for dataset, labels_N, cells in zip(datasets, labels_of, cells_of, strict=True)
    }


def _outcome(packed: _Packed, labels_N: NDArray[np.int64], classes: int) -> Outcome:
    confusion_KK = _unpacked(packed.confusion, COUNT, classes**2).reshape(classes, classes)
    outcome = Outcome.counted(confusion_KK, packed.correct)
    right_K = np.bincount(labels_N[outcome.correct_N(len(labels_N))], minlength=classes)
    if not np.array_equal(confusion_KK.diagonal(), right_K):
        raise ValueError("a confusion matrix does not count the images that were predicted right")
    return outcome


def _packed(values: NDArray[np.int64], kind: str) -> str:
    return base64.b64encode(zlib.compress(values.astype(kind).tobytes(), 9)).decode("ascii")


def _unpacked(text: str, kind: str, count: int) -> NDArray[np.int64]:
    # No more is unpacked than there should be, whatever a file says.
    expected = count * np.dtype(kind).itemsize
    content = zlib.decompressobj().decompress(base64.b64decode(text), max(1, expected))
    if len(content) != expected:
        raise ValueError(f"{len(content)} bytes where {expected} were expected")
    return np.frombuffer(content, dtype=kind).astype(np.int64)
