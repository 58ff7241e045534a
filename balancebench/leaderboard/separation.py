"""Which rows of a table are told apart: all pairs at once, adjusted for there being so many.

Two rows are *separated* where their p, adjusted by Benjamini & Hochberg (1995) over all pairs of ranked rows, is below
0.05. A row's rank is then known up to a range: from one more than the rows separated above it, to as many as there are,
less those separated below.

Axis suffixes: R rows, best or worst in any order; P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SEPARATED", "Separation", "adjusted", "holm", "separate"]

SEPARATED = 0.05

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """What is told apart among R rows.

    q_RR: float64, adjusted p; symmetric, NaN where a pair was not tested and along the diagonal. above_RR: whether the
    first row is separated from the second and better. lowest_R, highest_R: int64, the range of each row's rank, from 1;
    they say nothing of a row none of whose pairs was tested.
    """

    q_RR: Floats
    above_RR: NDArray[np.bool_]
    lowest_R: NDArray[np.int64]
    highest_R: NDArray[np.int64]

    @property
    def tested(self) -> int:
        """The pairs of the family."""
        return int(np.count_nonzero(~np.isnan(self.q_RR))) // 2

    @property
    def separated(self) -> int:
        """The pairs that are told apart."""
        return int(self.above_RR.sum())


def separate(better_by_RR: Floats, p_RR: Floats) -> Separation:
    """Return what is told apart.

    better_by_RR: by how much the first row is better than the second, whichever direction is better. p_RR: of no
    difference, symmetric; NaN where a pair cannot be tested. The diagonal of both is ignored.
    """
    rows = len(p_RR)
    first_P, second_P = np.triu_indices(rows, k=1)
    p_P = p_RR[first_P, second_P]
    tested_P = ~np.isnan(p_P)
    q_P = np.full(len(p_P), np.nan)
    q_P[tested_P] = adjusted(p_P[tested_P])
    q_RR = np.full((rows, rows), np.nan)
    q_RR[first_P, second_P] = q_RR[second_P, first_P] = q_P
    above_RR = (q_RR < SEPARATED) & (better_by_RR > 0)  # NaN is below nothing
    return Separation(
        q_RR=q_RR,
        above_RR=above_RR,
        lowest_R=1 + above_RR.sum(axis=0),
        highest_R=rows - above_RR.sum(axis=1),
    )


def adjusted(p_P: Floats) -> Floats:
    """Return p adjusted by Benjamini & Hochberg, float64 (P,) in 0..1: q_(i) = min over j >= i of p_(j) P / j."""
    count = len(p_P)
    order_P = np.argsort(p_P, kind="stable")
    scaled_P = p_P[order_P] * count / np.arange(1, count + 1)
    q_P = np.empty(count)
    q_P[order_P] = np.minimum(1.0, np.minimum.accumulate(scaled_P[::-1])[::-1])
    return q_P


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p adjusted by Holm (1979): the chance of any false one stays below the level."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for step, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[index]))
        corrected[index] = highest
    return corrected
