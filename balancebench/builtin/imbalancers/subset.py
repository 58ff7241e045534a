"""Which images of each class stay, once it is settled how many.

independent: each class has a stream of its own, spawned from the subset generator, and permutes its images by it; the
first n stay. A class's permutation depends on nothing but the seed, so subsets of one seed are nested: whatever
imbalance_ratio 100 keeps, imbalance_ratio 10 keeps too, and step and long_tail agree where their counts do.

cao2019: the subset of imbalanced CIFAR that the LDAM-DRW code draws and most papers after it use: NumPy's legacy
generator seeded with 0, one stream, classes in id order, each shuffled and cut. It is the same for every seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from balancebench.data import class_counts

if TYPE_CHECKING:
    from balancebench.builtin.imbalancers.components import Draw

__all__ = ["Everything", "Subset"]

KeptCounts = Callable[[NDArray[np.int64], Sequence[str], np.random.Generator], NDArray[np.int64]]
"""kept_counts(available_K, class_names, rng) -> kept_K; see `kept_counts`."""


@dataclass(frozen=True, slots=True)
class Everything:
    """Keeps every image, in order."""

    def select(
        self,
        labels_N: NDArray[np.int64],
        class_names: Sequence[str],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Return all indices."""
        return np.arange(len(labels_N), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """Keeps `kept_counts` images of each class, drawn by `draw`."""

    kept_counts: KeptCounts
    draw: Draw

    def select(
        self, labels_N: NDArray[np.int64], class_names: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the indices kept: ascending, or for cao2019 in the order of the original code."""
        # The order of classes has a stream of its own, so that choosing one moves no class's images.
        order_rng, *class_rngs = rng.spawn(1 + len(class_names))
        kept_K = self.kept_counts(class_counts(labels_N, len(class_names)), class_names, order_rng)
        if self.draw == "cao2019":
            return draw_cao2019(labels_N, kept_K)
        return draw_independent(labels_N, kept_K, class_rngs)


def draw_independent(
    labels_N: NDArray[np.int64], kept_K: NDArray[np.int64], class_rngs: Sequence[np.random.Generator]
) -> NDArray[np.int64]:
    """Return the first kept_K of a permutation of each class, all in ascending order."""
    drawn = [
        class_rng.permutation(np.flatnonzero(labels_N == class_id))[:kept]
        for class_id, (kept, class_rng) in enumerate(zip(kept_K, class_rngs, strict=True))
    ]
    return np.sort(np.concatenate(drawn))


def draw_cao2019(labels_N: NDArray[np.int64], kept_K: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices that `np.random.seed(0)` and a shuffle a class give, class by class as shuffled.

    The legacy generator is made here and seeded by itself; NumPy's global one is not touched.
    """
    legacy = np.random.RandomState(0)
    drawn: list[NDArray[np.int64]] = []
    for class_id, kept in enumerate(kept_K):
        indices = np.flatnonzero(labels_N == class_id)
        legacy.shuffle(indices)
        drawn.append(indices[:kept])
    return np.concatenate(drawn)
