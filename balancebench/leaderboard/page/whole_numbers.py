"""Counts as bytes: half of what they take as JSON, once both are compressed.

Counts of neighbouring rows, and of pairs of neighbouring rows, are alike. So each count is written as its difference
from what its neighbours foretell: a row from the row before; the pair (i, j) of rows from (i - 1, j) + (i, j - 1) -
(i - 1, j - 1). A difference d becomes 2 d where it is not negative, else -2 d - 1; and that stands as seven bits a
byte, the lowest first, the highest bit set in all bytes but the last. `tables.js` reads them.

Axis suffixes: R rows, P pairs of rows (the first before the second, row by row), K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["packed_pairs", "packed_rows"]

BITS = 7
Integers = NDArray[np.integer[Any]]


def packed_rows(counts: Integers) -> bytes:
    """Return counts as bytes, each entry of the first axis as differences from the one before; the first from 0."""
    return _packed(np.diff(counts.astype(np.int64), axis=0, prepend=0))


def packed_pairs(counts_PK: Integers, rows: int) -> bytes:
    """Return counts of all pairs of rows as bytes."""
    counts_PK = counts_PK.astype(np.int64)
    steps_PK = counts_PK.copy()
    for pair, neighbours in enumerate(_neighbours(rows)):
        for sign, neighbour in neighbours:
            steps_PK[pair] -= sign * counts_PK[neighbour]
    return _packed(steps_PK)


def _neighbours(rows: int) -> Iterator[list[tuple[int, int]]]:
    """Yield of each pair the signs and indices of those that foretell it, all of which stand before it."""

    def pair_index(first: int, second: int) -> int:
        return first * (2 * rows - first - 1) // 2 + second - first - 1

    for first in range(rows):
        for second in range(first + 1, rows):
            if first == 0:
                yield [(1, pair_index(0, second - 1))] if second > 1 else []
            elif second == first + 1:
                yield [(1, pair_index(first - 1, second))]
            else:
                yield [
                    (1, pair_index(first - 1, second)),
                    (1, pair_index(first, second - 1)),
                    (-1, pair_index(first - 1, second - 1)),
                ]


def _packed(steps: NDArray[np.int64]) -> bytes:
    packed = bytearray()
    for folded in np.where(steps >= 0, 2 * steps, -2 * steps - 1).ravel().tolist():
        rest = folded
        while rest >> BITS:
            packed.append(rest & 0x7F | 0x80)
            rest >>= BITS
        packed.append(rest)
    return bytes(packed)
