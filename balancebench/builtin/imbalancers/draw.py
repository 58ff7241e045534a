"""Which images of each class stay, once it is settled how many.

independent: each class has a stream of its own, spawned from the subset generator, and permutes its images by it; the
first n stay. A class's permutation depends on nothing but the seed, so subsets of one seed are nested: whatever
imbalance_ratio 100 keeps, imbalance_ratio 10 keeps too, and step and long_tail agree where their counts do.

cao2019: the subset of imbalanced CIFAR that the LDAM-DRW code draws and most papers after it use: NumPy's legacy
generator seeded with 0, one stream, classes in id order, each shuffled and cut. It is the same for every seed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from balancebench.builtin.imbalancers.options import DrawOptions, KeepAllOptions
from balancebench.data import class_counts

__all__ = ["DrawnSubset", "Everything"]

OptionsT = TypeVar("OptionsT", bound=DrawOptions)


@dataclass(frozen=True)
class Everything:
    """Keeps every image, in order."""

    options: KeepAllOptions

    def select(
        self,
        labels_N: NDArray[np.int64],
        class_names: Sequence[str],
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Return all indices."""
        return np.arange(len(labels_N), dtype=np.int64)


class DrawnSubset(ABC, Generic[OptionsT]):
    """Keeps as many images of each class as a subclass's `kept_counts` says, drawn as the options say."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    @abstractmethod
    def kept_counts(
        self, available_K: NDArray[np.int64], class_names: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return kept_K, int64 of shape (K,): how many of the images that each class has stay."""

    def select(
        self, labels_N: NDArray[np.int64], class_names: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the indices kept: ascending, or for cao2019 in the order of the original code."""
        # The order of classes has a stream of its own, so that choosing one moves no class's images.
        order_rng, *class_rngs = rng.spawn(1 + len(class_names))
        kept_K = self.kept_counts(class_counts(labels_N, len(class_names)), class_names, order_rng)
        if self.options.draw == "cao2019":
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
