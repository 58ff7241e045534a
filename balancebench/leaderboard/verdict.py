"""One planned comparison in words, and how many seeds a difference wants."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import numpy as np

from balancebench.leaderboard.intervals import LEVEL, Interval

__all__ = [
    "Verdict",
    "confidence",
    "next_seed_ahead",
    "seeds_for_difference",
    "smallest_difference",
    "upper_deviation",
    "verdict_of",
]

Verdict: TypeAlias = Literal["better", "worse", "level", "undecided", "identical", "not comparable"]
"""Of the first of two rows against the second."""

POWER = 0.8
UPPER_SHARE = 0.2  # a deviation is no larger than its upper estimate in 4 of 5 samples
MOST_SEEDS = 10_000


def verdict_of(interval: Interval, *, margin: float, higher_is_better: bool, identical: bool) -> Verdict:
    """Return what an interval of A - B says of A.

    better or worse: it lies beyond the margin. level: margin > 0 and it lies within. margin: >= 0, in the unit of
    the metric's values (0.01 is one percentage point).
    """
    if identical:
        return "identical"
    better, worse = ("better", "worse") if higher_is_better else ("worse", "better")
    if interval.low > margin:
        return better
    if interval.high < -margin:
        return worse
    if interval.low > -margin and interval.high < margin:
        return "level"
    return "undecided"


def confidence(p: float) -> float:
    """Return 1 - p / 2, 0.5..1: the confidence that the row ahead is so over all seeds and test images."""
    return 1 - p / 2


def next_seed_ahead(mean: float, deviation: float, pairs: int) -> float:
    """Return the chance, 0..1, that a fresh pair of runs has the first row higher (Bouthillier et al. 2021).

    T_{n-1}(m / (sd sqrt(1 + 1/n))) over n >= 2 pairs: a prediction, not a confidence.
    """
    from scipy.special import stdtr

    if deviation == 0:
        return 0.5 if mean == 0 else float(mean > 0)
    return float(stdtr(pairs - 1, mean / (deviation * math.sqrt(1 + 1 / pairs))))


def seeds_for_difference(difference: float, deviation: float) -> int | None:
    """Return the fewest seeds that find a true difference with a power of 0.8 at 5 %, two-sided, or None past 10,000.

    deviation: standard deviation of the paired differences between seeds, in the unit of `difference` > 0. By the
    noncentral t distribution: the chance that |m| exceeds t sd / sqrt(n).
    """
    low, high = 2, MOST_SEEDS
    if _power(high, difference, deviation) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(middle, difference, deviation) >= POWER else (middle + 1, high)
    return low


def _power(seeds: int, difference: float, deviation: float) -> float:
    from scipy.special import ndtr
    from scipy.stats import nct, t

    if deviation == 0:
        return 1.0
    critical = float(t.ppf(1 - (1 - LEVEL) / 2, seeds - 1))
    shift = difference / deviation * math.sqrt(seeds)
    upper, lower = float(nct.sf(critical, seeds - 1, shift)), float(nct.cdf(-critical, seeds - 1, shift))
    if math.isfinite(upper + lower):
        return upper + lower
    return float(ndtr(shift - critical))  # so far apart that the distribution function gives up


def upper_deviation(deviation: float, pairs: int) -> float:
    """Return an upper estimate of a standard deviation seen over n >= 2 pairs: sd sqrt((n-1) / chi2_{0.2}(n-1))."""
    from scipy.stats import chi2

    return deviation * math.sqrt((pairs - 1) / float(chi2.ppf(UPPER_SHARE, pairs - 1)))


def smallest_difference(image_variance: float) -> float:
    """Return z sqrt(v): what no number of seeds can tell on these test images."""
    from scipy.special import ndtri

    return float(ndtri(1 - (1 - LEVEL) / 2)) * float(np.sqrt(image_variance))
