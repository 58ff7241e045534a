"""Differences over seeds that a suite crosses: cells that share a subset, or an initialisation, are not independent.

Of A levels of one stream and C of another, the two-way table x_ac of a difference has the mean squares MA, MC and MR
(its rest). The variance of its mean, and its degrees of freedom (Satterthwaite 1946), are

    V = max(MA + MC - MR, MA, MC) / (A C)        df = max(1, V^2 / ((MA/AC)^2 / (A-1) + (MC/AC)^2 / (C-1)))

Axis suffixes: A levels of the first stream, C of the second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from balancebench.leaderboard.intervals import LEVEL, Interval

__all__ = ["Component", "TwoWay", "crossed_variance", "full_block", "mean_squares", "variance_components"]

FEWEST_LEVELS = 3  # below, a component of variance says nothing
MOST_SEARCHED = 12  # levels of which all subsets are tried for the largest full block


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoWay:
    """Mean and mean squares of a full A x C table; A, C >= 2."""

    mean: float
    levels: tuple[int, int]
    first: float
    second: float
    rest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One component of variance as a standard deviation, >= 0, and its interval by chi-square.

    The interval is of the mean square, moved and divided as the component is.
    """

    name: str
    deviation: float
    interval: Interval


def mean_squares(values_AC: NDArray[np.float64]) -> TwoWay:
    """Return the mean squares of a table; in any order of its rows and columns the same bits."""
    table = values_AC.tolist()
    a_count, c_count = values_AC.shape
    mean = math.fsum(value for line in table for value in line) / values_AC.size
    mean_A = [math.fsum(line) / c_count for line in table]
    mean_C = [math.fsum(column) / a_count for column in zip(*table, strict=True)]
    rest = math.fsum(
        (value - mean_A[a] - mean_C[c] + mean) ** 2 for a, line in enumerate(table) for c, value in enumerate(line)
    )
    return TwoWay(
        mean=mean,
        levels=(a_count, c_count),
        first=c_count * math.fsum((value - mean) ** 2 for value in mean_A) / (a_count - 1),
        second=a_count * math.fsum((value - mean) ** 2 for value in mean_C) / (c_count - 1),
        rest=rest / ((a_count - 1) * (c_count - 1)),
    )


def crossed_variance(table: TwoWay) -> tuple[float, float]:
    """Return V, the variance of the table's mean, and its degrees of freedom."""
    cells = table.levels[0] * table.levels[1]
    variance = max(table.first + table.second - table.rest, table.first, table.second) / cells
    spread = (table.first / cells) ** 2 / (table.levels[0] - 1) + (table.second / cells) ** 2 / (table.levels[1] - 1)
    return variance, max(1.0, variance**2 / spread) if spread > 0 else float(min(table.levels) - 1)


def variance_components(table: TwoWay, names: tuple[str, str]) -> tuple[Component, ...] | str:
    """Return the components of both streams and the rest, or why they are not told; negative ones are 0."""
    from scipy.stats import chi2

    a_count, c_count = table.levels
    if min(table.levels) < FEWEST_LEVELS:
        return (
            f"too few levels: {a_count} of {names[0]} and {c_count} of {names[1]}, at least {FEWEST_LEVELS} are needed"
        )
    tail = (1 - LEVEL) / 2
    components: list[Component] = []
    for name, square, subtracted, divisor, df in (
        (names[0], table.first, table.rest, c_count, a_count - 1),
        (names[1], table.second, table.rest, a_count, c_count - 1),
        ("rest", table.rest, 0.0, 1, (a_count - 1) * (c_count - 1)),
    ):
        low, high = (
            math.sqrt(max(0.0, (df * square / float(chi2.ppf(share, df)) - subtracted) / divisor))
            for share in (1 - tail, tail)
        )
        deviation = math.sqrt(max(0.0, (square - subtracted) / divisor))
        components.append(Component(name=name, deviation=deviation, interval=Interval(low=low, high=high)))
    return tuple(components)


def full_block(cells: Mapping[tuple[int, int], float]) -> NDArray[np.float64]:
    """Return the largest full table (A, C) among cells by their two levels: holes cost whole rows or columns.

    Among blocks of one size the one with more levels of the first stream, then of smaller levels.
    """
    firsts = sorted({first for first, _ in cells})
    of_first = {first: {second for other, second in cells if other == first} for first in firsts}
    sizes = range(1, len(firsts) + 1) if len(firsts) <= MOST_SEARCHED else (len(firsts),)
    best: tuple[tuple[int, ...], list[int]] = ((), [])
    for size in sizes:
        for chosen in combinations(firsts, size):
            shared = sorted(set.intersection(*(of_first[first] for first in chosen)))
            if (size * len(shared), size) > (len(best[0]) * len(best[1]), len(best[0])):
                best = (chosen, shared)
    return np.array([[cells[first, second] for second in best[1]] for first in best[0]], dtype=np.float64)
