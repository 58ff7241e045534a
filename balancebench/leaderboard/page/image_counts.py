"""Counts by class of a table's rows, from which the script makes intervals under any prior of the test classes.

Axis suffixes: R rows, S seeds, N test images, K classes, P pairs of rows.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.scores import Outcome
from balancebench.evaluation import Report
from balancebench.leaderboard.board import Row, TaskTable
from balancebench.leaderboard.comparisons import recall_weights
from balancebench.leaderboard.image_moments import squared_distances
from balancebench.leaderboard.outcomes import DatasetOutcomes
from balancebench.leaderboard.page.page_data import ClassCounts
from balancebench.leaderboard.results import MetricHeader, SubsetSummary

__all__ = ["class_counts", "outcomes_of_task"]

MOST_CLASSES_SHOWN = 20  # as a whole confusion matrix
MOST_PAIR_NUMBERS = 60_000  # two for each class and pair of rows; past that only pairs with the floor are kept
COMMONEST = 5
NO_OUTCOMES = "these records do not say what became of each test image"


def class_counts(
    table: TaskTable, outcomes: DatasetOutcomes | None, subsets: Sequence[SubsetSummary]
) -> ClassCounts | str:
    """Return the counts of the rows that have outcomes for all common seeds, or why there are none.

    subsets: those that the rows were trained on, the ceiling's left out.
    """
    if outcomes is None:
        return NO_OUTCOMES
    known = {index: _outcomes_of(row, table.report, outcomes) for index, row in enumerate(table.rows)}
    ranked = [index for index, row in enumerate(table.rows) if row.rank is not None]
    contenders = ranked or [index for index, of_row in known.items() if of_row]
    if not contenders or any(not known[index] for index in contenders):
        return NO_OUTCOMES
    seeds = [key for key in known[contenders[0]] if all(key in known[index] for index in contenders)]
    if not seeds:
        return "no seed is done in every ranked row"
    rows = [index for index, of_row in known.items() if all(key in of_row for key in seeds)]
    rows = [index for index in rows if len({table.rows[index].score_keys[key] for key in seeds}) == len(seeds)]
    if not set(ranked) <= set(rows) or _repeats_a_stream(seeds):
        return "its seeds are not draws of their own: some of them share what varies"
    test_K = np.bincount(outcomes.labels_N, minlength=outcomes.class_count)
    return _counted(
        [_weights(metric, test_K, subsets) for metric in table.metrics],
        [[known[index][key] for index in rows] for key in seeds],
        outcomes,
        rows,
        seeds,
        next((position for position, index in enumerate(rows) if table.rows[index].role == "floor"), None),
    )


def _outcomes_of(row: Row, report: Report, outcomes: DatasetOutcomes) -> dict[str, Outcome]:
    """Return seeds -> outcome, those that are known."""
    reports_of = {seeds: outcomes.cells.get(key, {}) for seeds, key in row.score_keys.items()}
    return {seeds: reports[report] for seeds, reports in reports_of.items() if report in reports}


def _repeats_a_stream(seeds: Sequence[str]) -> bool:
    """Say whether crossed streams of seeds make cells that depend on each other."""
    streams = list(zip(*(key.split("/") if "/" in key else [key] * 3 for key in seeds), strict=True))
    varying = [stream for stream in streams if len(set(stream)) > 1]
    return any(len(set(stream)) < len(seeds) for stream in varying)


def _weights(metric: MetricHeader, test_K: NDArray[np.int64], subsets: Sequence[SubsetSummary]) -> list[float] | None:
    """Return what the classes' recalls weigh in a metric; None where it is no mean of them, or not the same in all."""
    if metric.mean_over is None:
        return None
    of_subsets = [
        recall_weights(metric.mean_over, test_K, subset.counts_K, subset.class_names).tolist() for subset in subsets
    ]
    alike = bool(of_subsets) and all(weights_K == of_subsets[0] for weights_K in of_subsets)
    return of_subsets[0] if alike and any(of_subsets[0]) else None


def _counted(
    weights_MK: list[list[float] | None],
    outcomes_SR: Sequence[Sequence[Outcome]],
    dataset: DatasetOutcomes,
    rows: Sequence[int],
    seeds: Sequence[str],
    floor: int | None,
) -> ClassCounts:
    labels_N, classes = dataset.labels_N, dataset.class_count
    confusion_SRKK = np.array([[outcome.confusion_KK(classes) for outcome in of_R] for of_R in outcomes_SR])
    confusion_RKK = confusion_SRKK.sum(axis=0)
    whole = classes <= MOST_CLASSES_SHOWN
    all_pairs = len(rows) * (len(rows) - 1) * classes <= MOST_PAIR_NUMBERS
    pairs = _pairs(len(rows), None if all_pairs else floor)
    squares_KRR, sums_KRR = _sums(outcomes_SR, labels_N, classes)
    first_P, second_P = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return ClassCounts(
        test_K=tuple(np.bincount(labels_N, minlength=classes).tolist()),
        weights_MK=weights_MK,
        rows=tuple(rows),
        seeds=tuple(seeds),
        right_RSK=confusion_SRKK.diagonal(axis1=2, axis2=3).swapaxes(0, 1).tolist(),
        confusion_RKK=confusion_RKK.tolist() if whole else None,
        commonest_RK=(
            None
            if whole
            else [[_commonest(images_K, label) for label, images_K in enumerate(row_KK)] for row_KK in confusion_RKK]
        ),
        pair_with=None if all_pairs else floor,
        squares_PK=squares_KRR[:, first_P, second_P].T.tolist(),
        sums_PK=sums_KRR[:, first_P, second_P].T.tolist(),
    )


def _pairs(rows: int, only_with: int | None) -> list[tuple[int, int]]:
    """Return the pairs, the first before the second, row by row."""
    return [
        (first, second)
        for first in range(rows)
        for second in range(first + 1, rows)
        if only_with is None or only_with in (first, second)
    ]


def _sums(
    outcomes_SR: Sequence[Sequence[Outcome]], labels_N: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return sum_si (c_a - c_b)^2 and sum_i (sum_s c_a - c_b)^2 of every class and pair, both (K, R, R)."""
    packed_SRB = np.array(
        [[np.frombuffer(base64.b64decode(outcome.correct), dtype=np.uint8) for outcome in of_R] for of_R in outcomes_SR]
    )
    right_SRN = np.unpackbits(packed_SRB, axis=2, count=len(labels_N))
    rows = packed_SRB.shape[1]
    squares_KRR = np.zeros((classes, rows, rows), dtype=np.int64)
    sums_KRR = np.zeros((classes, rows, rows), dtype=np.int64)
    for label in np.unique(labels_N).tolist():
        right_SRn = right_SRN[:, :, labels_N == label].astype(np.float64)
        squares_KRR[label] = np.sum([squared_distances(right_Rn) for right_Rn in right_SRn], axis=0)
        sums_KRR[label] = squared_distances(right_SRn.sum(axis=0))
    return squares_KRR, sums_KRR


def _commonest(images_K: NDArray[np.int64], label: int) -> list[tuple[int, int]]:
    """Return the commonest wrong predictions of a class: (prediction, images), at least one image each."""
    wrong = sorted((-images, predicted) for predicted, images in enumerate(images_K.tolist()) if predicted != label)
    return [(predicted, -images) for images, predicted in wrong[:COMMONEST] if images]


def outcomes_of_task(outcomes: Mapping[str, DatasetOutcomes], load_keys: set[str]) -> DatasetOutcomes | None:
    """Return the outcomes of the one data set that a task's cells loaded, None where there are several or none."""
    return outcomes.get(next(iter(load_keys))) if len(load_keys) == 1 else None
