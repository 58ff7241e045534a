"""Who pays: the difference of each class's recall between two rows, and which classes are told apart from none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from balancebench.leaderboard.image_moments import image_moments
from balancebench.leaderboard.intervals import Estimates, Interval, full_intervals, p_values
from balancebench.leaderboard.separation import SEPARATED, holm
from balancebench.leaderboard.statistics import deviation, mean

__all__ = ["ClassDifference", "class_differences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDifference:
    """The recall of one class, the first row minus the second, -1..1, over seeds and test images.

    interval: None with fewer than two seeds or images. p_adjusted: by Holm over the classes. verdict: "gains" or "pays"
    where that is below 0.05.
    """

    label: int
    mean: float
    interval: Interval | None
    p_adjusted: float | None
    verdict: Literal["gains", "pays"] | None


def class_differences(
    packed_SRB: NDArray[np.uint8], labels_N: NDArray[np.int64], class_count: int
) -> list[ClassDifference]:
    """Return the differences of every class that has test images, in the order of classes.

    packed_SRB: uint8 (S, 2, bytes), packed correctness of the two rows under each seed, independent draws. A row pays
    in a class where the first of the two is worse. Axis suffixes: S seeds, K classes.
    """
    seeds = len(packed_SRB)
    counts_K = np.bincount(labels_N, minlength=class_count)
    right_S2N = np.unpackbits(packed_SRB, axis=2, count=len(labels_N))
    hits_2SK = [
        [np.bincount(labels_N[right > 0], minlength=class_count) for right in right_S2N[:, row]] for row in (0, 1)
    ]
    present = np.flatnonzero(counts_K).tolist()
    differences_KS = {
        label: [
            (int(hits_2SK[0][seed][label]) - int(hits_2SK[1][seed][label])) / int(counts_K[label])
            for seed in range(seeds)
        ]
        for label in present
    }
    moments = image_moments(packed_SRB, labels_N, np.eye(class_count)[present])
    estimates = Estimates(
        mean_P=np.array([mean(differences_KS[label]) for label in present]),
        seeds_variance_P=np.array([_variance(differences_KS[label]) for label in present]),
        df_P=np.full(len(present), max(1.0, seeds - 1)),
        image_variance_P=moments.image_variance_WRR[:, 0, 1],
        residual_variance_P=moments.residual_variance_WRR[:, 0, 1],
    )
    p_P = p_values(estimates).tolist()
    tested = [index for index, p in enumerate(p_P) if math.isfinite(p)]
    q_of = dict(zip(tested, holm([p_P[index] for index in tested]), strict=True))
    intervals = full_intervals(estimates)
    return [
        ClassDifference(
            label=label,
            mean=float(estimates.mean_P[index]),
            interval=intervals[index],
            p_adjusted=q_of.get(index),
            verdict=_verdict(float(estimates.mean_P[index]), q_of.get(index)),
        )
        for index, label in enumerate(present)
    ]


def _variance(values: list[float]) -> float:
    """Return the variance of the mean; NaN of fewer than two values."""
    spread = deviation(values)
    return math.nan if spread is None else spread**2 / len(values)


def _verdict(difference: float, q: float | None) -> Literal["gains", "pays"] | None:
    if q is None or q >= SEPARATED:
        return None
    return "gains" if difference > 0 else "pays"
