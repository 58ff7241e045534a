"""What `score` and `measure` leave: the values of metrics, and which test images were predicted right.

Axis suffixes: N test images, K classes.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from balancebench.artefacts.arrays import write_json
from balancebench.classification import balanced_accuracy_of, confusion_counts
from balancebench.config import JSON
from balancebench.errors import BalancebenchError
from balancebench.evaluation import MetricValue, PartlyUndefined, Report, Undefined
from balancebench.store import Store
from balancebench.store.index import StoreIndex
from balancebench.store.known_step import KnownStep

__all__ = [
    "AgainstGuessing",
    "CellOutcomes",
    "CellScores",
    "Outcome",
    "ReportScores",
    "Score",
    "ScoreValue",
    "SubsetMeasures",
    "outcomes_known",
    "read_measures",
    "read_outcomes",
    "read_scores",
    "score_json",
    "score_of",
    "score_read",
    "scores_known",
    "write_measures",
    "write_scores",
]

SCORES, MEASURES, OUTCOMES = "scores.json", "measures.json", "outcomes.json"
HOLES = "null where a class has no such images, or none are predicted as it"
ScoreValue: TypeAlias = float | list[float | None] | list[list[float | None]] | None


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Score:
    """A metric's value: a number, one a class (K), a matrix (K, K), or None with the reason."""

    value: ScoreValue
    reason: str = ""


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class AgainstGuessing:
    """A balanced accuracy, and what guessing gives: each of K classes with probability 1/K, whatever the image.

    balanced_accuracy: 0..1, the mean recall of the classes that have test images. chance: 1/K, what a guesser has on
    average. standard_error: the standard deviation of a guesser's balanced accuracy. The recall of a class with n_k
    test images is then binomial with variance p (1 - p) / n_k, p = 1/K, and the mean over the C classes that have
    any has sqrt(p (1 - p) sum_k 1 / n_k) / C.
    """

    balanced_accuracy: float
    chance: float
    standard_error: float

    @classmethod
    def of(cls, confusion_KK: NDArray[np.int64]) -> AgainstGuessing:
        """Return it of a confusion matrix, int64 (K, K) with the true class along its rows, that counts an image."""
        chance = 1 / len(confusion_KK)
        images_C = confusion_KK.sum(axis=1)
        images_C = images_C[images_C > 0]
        return cls(
            balanced_accuracy=balanced_accuracy_of(confusion_KK),
            chance=chance,
            standard_error=math.sqrt(chance * (1 - chance) * float((1 / images_C).sum())) / len(images_C),
        )


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class ReportScores:
    """The scores of one report. metrics: by `balancebench.step.metric_key` on disk, by label where a suite is known.

    epoch: the one that it reports, counted from 0. searched_from: the first one among which the best was searched.
    guessing: how its predictions stand against guessing; None in what was scored before this was kept.
    """

    epoch: int
    metrics: dict[str, Score]
    searched_from: int = 0
    guessing: AgainstGuessing | None = None


class Outcome(BaseModel):
    """What became of each test image under one report.

    confusion: (true class, predicted class, images) of every pair that occurs. correct: whether each test image, in the
    data set's order, was predicted right: packed bits, the first image the highest bit, in base 64.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    confusion: list[tuple[int, int, int]]
    correct: str

    @classmethod
    def of(cls, labels_N: NDArray[np.int64], predicted_N: NDArray[np.int64], class_count: int) -> Outcome:
        """Return the outcome of predictions."""
        correct = base64.b64encode(np.packbits(labels_N == predicted_N).tobytes()).decode("ascii")
        return cls.counted(confusion_counts(labels_N, predicted_N, class_count), correct)

    @classmethod
    def counted(cls, confusion_KK: NDArray[np.int64], correct: str) -> Outcome:
        """Return the outcome of a confusion matrix, int64 (K, K), and packed correctness."""
        return cls(
            confusion=[
                (int(true), int(predicted), int(confusion_KK[true, predicted]))
                for true, predicted in np.argwhere(confusion_KK)
            ],
            correct=correct,
        )

    def confusion_KK(self, class_count: int) -> NDArray[np.int64]:
        """Return the counts as a matrix, int64 (K, K)."""
        counts_KK = np.zeros((class_count, class_count), dtype=np.int64)
        for true, predicted, images in self.confusion:
            counts_KK[true, predicted] = images
        return counts_KK

    def correct_N(self, count: int) -> NDArray[np.bool_]:
        """Return which of `count` test images were predicted right."""
        packed = np.frombuffer(base64.b64decode(self.correct), dtype=np.uint8)
        return np.unpackbits(packed, count=count).astype(bool)


CellOutcomes: TypeAlias = dict[Report, Outcome]
CellScores: TypeAlias = dict[Report, ReportScores]
SubsetMeasures: TypeAlias = dict[str, Score]
_SCORE: TypeAdapter[Score] = TypeAdapter(Score)
_CELL_SCORES: TypeAdapter[CellScores] = TypeAdapter(CellScores)
_CELL_OUTCOMES: TypeAdapter[CellOutcomes] = TypeAdapter(CellOutcomes)
_SUBSET_MEASURES: TypeAdapter[SubsetMeasures] = TypeAdapter(SubsetMeasures)


def write_scores(folder: Path, scores: CellScores, outcomes: CellOutcomes) -> None:
    """Write the scores of a cell, and what became of each test image."""
    write_json(folder / OUTCOMES, _CELL_OUTCOMES.dump_python(outcomes, mode="json"))
    write_json(folder / SCORES, _CELL_SCORES.dump_python(scores, mode="json", exclude_defaults=True))


def read_scores(store: Store, key: str, metric_keys: Mapping[str, str]) -> CellScores:
    """Return the scores of a finished step; metric_keys: label -> key of the metrics wanted."""
    return _labelled(store.files(key).parsed(SCORES, _CELL_SCORES.validate_json), metric_keys)


def scores_known(index: StoreIndex, known: KnownStep, metric_keys: Mapping[str, str]) -> CellScores:
    """Return the scores of a finished step as the store's index has them."""
    return _labelled(index.parsed(known, SCORES, _CELL_SCORES.validate_json), metric_keys)


def _labelled(scores: CellScores, metric_keys: Mapping[str, str]) -> CellScores:
    return {report: replace(of, metrics=_by_label(of.metrics, metric_keys)) for report, of in scores.items()}


def _by_label(values: Mapping[str, Score], metric_keys: Mapping[str, str]) -> dict[str, Score]:
    return {label: values[key] for label, key in metric_keys.items() if key in values}


def read_outcomes(store: Store, key: str) -> CellOutcomes:
    """Return what became of each test image in a finished step."""
    return store.files(key).parsed(OUTCOMES, _CELL_OUTCOMES.validate_json)


def outcomes_known(index: StoreIndex, known: KnownStep) -> CellOutcomes:
    """Return what became of each test image in a finished step that the store's index knows."""
    return index.parsed(known, OUTCOMES, _CELL_OUTCOMES.validate_json)


def write_measures(folder: Path, measures: SubsetMeasures) -> None:
    """Write the measures of a subset."""
    write_json(folder / MEASURES, _SUBSET_MEASURES.dump_python(measures, mode="json", exclude_defaults=True))


def read_measures(store: Store, key: str, metric_keys: Mapping[str, str]) -> SubsetMeasures:
    """Return the measures of a finished step; metric_keys: label -> key of the metrics wanted."""
    return _by_label(store.files(key).parsed(MEASURES, _SUBSET_MEASURES.validate_json), metric_keys)


def score_json(score: Score) -> JSON:
    """Return a score as JSON."""
    return _SCORE.dump_python(score, mode="json", exclude_defaults=True)


def score_read(value: JSON) -> Score:
    """Return what `score_json` gave."""
    return _SCORE.validate_python(value)


def score_of(value: MetricValue, class_count: int) -> Score:
    """Return what a metric returned as JSON holds it; what is not finite becomes None with a reason.

    Raises BalancebenchError where it is neither a number nor one a class (K,) nor a matrix (K, K); K is class_count.
    """
    if isinstance(value, Undefined):
        return Score(value=None, reason=value.reason)
    reason = HOLES
    if isinstance(value, PartlyUndefined):
        value, reason = value.values_K, value.reason
    array = _numbers(value)
    if array.shape not in ((), (class_count,), (class_count, class_count)):
        raise BalancebenchError(
            f"it returned an array of shape {array.shape}; a metric of {class_count} classes returns a number, "
            f"({class_count},) or ({class_count}, {class_count})"
        )
    if array.ndim == 0:
        number = float(array)
        return Score(value=number) if math.isfinite(number) else Score(value=None, reason=f"the metric is {number}")
    return Score(value=_with_holes(array.tolist()), reason="" if np.isfinite(array).all() else reason)


def _numbers(value: object) -> NDArray[np.float64]:
    kind = type(value).__name__
    try:
        array = np.asarray(value)
    except ValueError:  # nested lists of different lengths
        array = np.empty(0, dtype=object)
    if array.dtype.kind not in "buif":
        raise BalancebenchError(f"it returned {kind}; a metric returns numbers, or Undefined with the reason")
    return array.astype(np.float64)


def _with_holes(values: list[Any]) -> list[Any]:
    """Return nested lists with None in the place of what is not finite: an undefined class is null."""
    return [
        _with_holes(value) if isinstance(value, list) else (value if math.isfinite(value) else None) for value in values
    ]
