"""Which images are compared, and how values of single classes are put together.

Axis suffixes: N images, K classes, M images chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from balancebench import LabelledImages, PartlyUndefined, Undefined, seed_for

__all__ = ["MOST_NAMES", "by_class", "draw", "even_counts", "named"]

MOST_NAMES = 8


def even_counts(available_K: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return how many images of each class to take: as evenly as there are, `limit` in all at most.

    All classes give the same number, or all they have; what is left of the limit after an even share is not taken.
    """
    ascending = np.sort(available_K)
    # Where the level lies between two counts, all smaller classes give all, and the others share what is left.
    given = np.concatenate([[0], np.cumsum(ascending)[:-1]])
    levels = (limit - given) // np.arange(len(ascending), 0, -1)
    level = next((int(level) for level, count in zip(levels, ascending, strict=True) if level < count), None)
    return available_K if level is None else np.minimum(available_K, level)


def draw(images: LabelledImages, name: str, counts_K: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of counts_K[k] images of each class, in ascending order.

    Each class is drawn with a seed of its own name and of the set's: no metric of a cell, no other class and no number
    of a class changes the draw, and a smaller count takes a part of what a larger one takes.
    """
    chosen: list[NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    for label in np.flatnonzero(counts_K):
        members = np.flatnonzero(images.labels_N == label)
        rng = np.random.default_rng(seed_for("quality", 0, name, images.class_names[label]))
        chosen.append(members if len(members) == counts_K[label] else rng.permutation(members)[: counts_K[label]])
    return np.sort(np.concatenate(chosen))


def by_class(
    class_names: Sequence[str], measure: Callable[[int], float | str]
) -> NDArray[np.float64] | PartlyUndefined | Undefined:
    """Return measure(label) of every class; where it is a text it is the reason why the class has no value."""
    measured = [measure(label) for label in range(len(class_names))]
    reasons: dict[str, list[str]] = {}
    for name, value in zip(class_names, measured, strict=True):
        if isinstance(value, str):
            reasons.setdefault(value, []).append(name)
    reason = "; ".join(f"{text}: {named(names)}" for text, names in reasons.items())
    if not any(isinstance(value, float) for value in measured):
        return Undefined(reason)
    values_K = np.array([np.nan if isinstance(value, str) else value for value in measured])
    return PartlyUndefined(values_K, reason) if reasons else values_K


def named(names: Sequence[str]) -> str:
    """Return class names for a message, not more than one can read."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(map(repr, names[:MOST_NAMES])) + more
