"""Arithmetic of a row: means over seeds, paired differences, the share of a gap. The order of values never matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from balancebench.leaderboard.board import Summary

__all__ = ["deviation", "gap_closed", "mean", "paired", "summarise"]

NO_CEILING_GAP = "training on all images is no better than the floor here"
SMALL_GAP = "floor and ceiling are so close here that their gap cannot be divided by"
LARGEST_SHARE = 10.0  # of the gap: a row further away than this says that the gap is small, and nothing else


def summarise(values: Sequence[float], reason: str = "") -> Summary:
    """Return mean and sample standard deviation; `reason` is kept where there are no values, or fewer than hoped."""
    if not values:
        return Summary(mean=None, reason=reason)
    return Summary(mean=mean(values), std=deviation(values), n=len(values), reason=reason)


def mean(values: Sequence[float]) -> float:
    """Return the mean: of equal values exactly that value, in any order the same bits."""
    return values[0] if min(values) == max(values) else math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation, n - 1 in the denominator; None for n = 1."""
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def paired(keys: Sequence[Mapping[str, str]], values: Sequence[Mapping[str, float]]) -> list[tuple[float, ...]]:
    """Return the values of cells with the same seeds, one of each row, where every row has one.

    keys, values: for each row, seeds -> key of the measurement and seeds -> value. Seeds that lead to the same
    measurements in all rows are one pair.
    """
    common = list(values[0])
    for of_row in values[1:]:
        common = [seeds for seeds in common if seeds in of_row]
    distinct: dict[tuple[str, ...], str] = {}
    for seeds in common:
        distinct.setdefault(tuple([of_row[seeds] for of_row in keys]), seeds)
    return list(zip(*([of_row[seeds] for seeds in distinct.values()] for of_row in values), strict=True))


def gap_closed(triples: Sequence[tuple[float, ...]], higher_is_better: bool | None) -> tuple[float | None, str]:
    """Return (row - floor) / (ceiling - floor) of the means over (row, floor, ceiling), or None and why not.

    Shares beyond 10 either way are not given: then floor and ceiling are the same but for chance.
    """
    if higher_is_better is None:
        return None, "the metric has no better direction"
    if not triples:
        return None, "no seed has row, floor and ceiling"
    gained = mean([row - floor for row, floor, _ in triples])
    room = mean([ceiling - floor for _, floor, ceiling in triples])
    if (room if higher_is_better else -room) <= 0:
        return None, NO_CEILING_GAP
    if abs(gained) > LARGEST_SHARE * abs(room):
        return None, SMALL_GAP
    return gained / room, ""
