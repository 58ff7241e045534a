"""Who pays: the difference of each class's recall between two rows, and which classes are told apart from none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from balancebench.leaderboard.image_moments import image_moments
from balancebench.leaderboard.intervals import Estimates, Interval, full_intervals, p_values
from balancebench.leaderboard.separation import SEPARATED, holm
from balancebench.leaderboard.statistics import deviation, mean

__all__ = ["ClassDifference", "GroupDifference", "class_differences", "group_differences"]

MANY_ABOVE, FEW_BELOW = 100, 20  # training images, as in the metric `shot_accuracy`

GroupName: TypeAlias = Literal["many", "medium", "few"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDifference:
    """The mean recall of a group of classes, the first row minus the second, -1..1; interval as in ClassDifference.

    classes: how many of the group have test images.
    """

    name: GroupName
    classes: int
    mean: float
    interval: Interval | None


def class_differences(
    packed_SRB: NDArray[np.uint8], labels_N: NDArray[np.int64], class_count: int
) -> list[ClassDifference]:
    """Return the differences of every class that has test images, in the order of classes.

    packed_SRB: uint8 (S, 2, bytes), packed correctness of the two rows under each seed, independent draws. A row pays
    in a class where the first of the two is worse. Axis suffixes: S seeds, K classes.
    """
    present = np.flatnonzero(np.bincount(labels_N, minlength=class_count)).tolist()
    estimates = _estimates(packed_SRB, labels_N, np.eye(class_count)[present])
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


def group_differences(
    packed_SRB: NDArray[np.uint8], labels_N: NDArray[np.int64], train_counts_K: NDArray[np.float64]
) -> list[GroupDifference]:
    """Return the differences of the classes with many, a medium number of and few training images; empty ones left out.

    packed_SRB: as in `class_differences`. train_counts_K: training images of each class before balancing.
    """
    tested_K = np.bincount(labels_N, minlength=len(train_counts_K)) > 0
    members: dict[GroupName, NDArray[np.bool_]] = {
        "many": tested_K & (train_counts_K > MANY_ABOVE),
        "medium": tested_K & (train_counts_K >= FEW_BELOW) & (train_counts_K <= MANY_ABOVE),
        "few": tested_K & (train_counts_K < FEW_BELOW),
    }
    groups: dict[GroupName, NDArray[np.bool_]] = {name: of_K for name, of_K in members.items() if of_K.any()}
    weights_WK = np.array([members_K / members_K.sum() for members_K in groups.values()])
    estimates = _estimates(packed_SRB, labels_N, weights_WK)
    return [
        GroupDifference(name=name, classes=int(members_K.sum()), mean=mean, interval=interval)
        for (name, members_K), mean, interval in zip(
            groups.items(), estimates.mean_P.tolist(), full_intervals(estimates), strict=True
        )
    ]


def _estimates(
    packed_SRB: NDArray[np.uint8], labels_N: NDArray[np.int64], weights_WK: NDArray[np.float64]
) -> Estimates:
    """Return the differences of two rows' weighted recalls, a difference a weighting; those of a weighting sum to 1."""
    classes = weights_WK.shape[1]
    counts_K = np.maximum(np.bincount(labels_N, minlength=classes), 1)
    right_S2N = np.unpackbits(packed_SRB, axis=2, count=len(labels_N))
    hits_S2K = np.array(
        [[np.bincount(labels_N[right_N > 0], minlength=classes) for right_N in of_seed] for of_seed in right_S2N]
    )
    differences_WS = weights_WK @ ((hits_S2K[:, 0] - hits_S2K[:, 1]) / counts_K).T
    moments = image_moments(packed_SRB, labels_N, weights_WK)
    return Estimates(
        mean_P=np.array([mean(values_S) for values_S in differences_WS.tolist()]),
        seeds_variance_P=np.array([_variance(values_S) for values_S in differences_WS.tolist()]),
        df_P=np.full(len(weights_WK), max(1.0, len(packed_SRB) - 1)),
        image_variance_P=moments.image_variance_WRR[:, 0, 1],
        residual_variance_P=moments.residual_variance_WRR[:, 0, 1],
    )


def _variance(values: list[float]) -> float:
    """Return the variance of the mean; NaN of fewer than two values."""
    spread = deviation(values)
    return math.nan if spread is None else spread**2 / len(values)


def _verdict(difference: float, q: float | None) -> Literal["gains", "pays"] | None:
    if q is None or q >= SEPARATED:
        return None
    return "gains" if difference > 0 else "pays"
