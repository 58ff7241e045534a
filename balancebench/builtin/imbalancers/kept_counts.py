"""How many images each class keeps under each convention.

Every `kept_counts` takes the images each class has (available_K), the class names and a generator, and returns kept_K,
int64 of shape (K,): 0 <= kept_K <= available_K.

Where classes have equal sizes, n_max is that size, as in the papers. Where they differ, n_max is the size of the
largest class, and a class with fewer images than its rank allows keeps all it has. The formulae are evaluated in
float64 and cut or rounded up as the papers' code does it, because the last image is part of the standard subset.

A class that would keep nothing is a DataError; only `drop_class` with fraction 1 removes a class, because it says so.
Axis suffix: K classes, by class id unless named by rank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from balancebench.builtin.imbalancers.draw import DrawnSubset
from balancebench.builtin.imbalancers.options import (
    ClassOrder,
    CountsOptions,
    DropClassOptions,
    GeometricOptions,
    LongTailOptions,
    StepOptions,
)
from balancebench.errors import DataError, nearest

__all__ = ["DropClass", "ExplicitCounts", "Geometric", "LongTail", "Step"]


class LongTail(DrawnSubset[LongTailOptions]):
    """An exponential fall from the first rank to the last."""

    def kept_counts(
        self, available_K: NDArray[np.int64], class_names: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return int(n_max * mu**(rank / (K - 1))) images a class, mu = 1 / imbalance_ratio (Cui et al. 2019)."""
        n_max, last_rank = int(available_K.max()), max(len(class_names) - 1, 1)
        mu = 1 / self.options.imbalance_ratio
        by_rank = [int(n_max * mu ** (rank / last_rank)) for rank in range(len(class_names))]
        kept_K = assign_ranks(by_rank, self.options.class_order, available_K, rng)
        refuse_empty_classes(kept_K, available_K, class_names, f"an imbalance_ratio below {n_max}")
        return kept_K


class Step(DrawnSubset[StepOptions]):
    """The first half of the ranks keeps all, the second half the same share."""

    def kept_counts(
        self, available_K: NDArray[np.int64], class_names: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return n_max for the first K // 2 ranks and int(n_max * mu) for the rest, mu = 1 / imbalance_ratio."""
        n_max, head_classes = int(available_K.max()), len(class_names) // 2
        tail_count = int(n_max * (1 / self.options.imbalance_ratio))
        by_rank = [n_max] * head_classes + [tail_count] * (len(class_names) - head_classes)
        kept_K = assign_ranks(by_rank, self.options.class_order, available_K, rng)
        refuse_empty_classes(kept_K, available_K, class_names, f"an imbalance_ratio below {n_max}")
        return kept_K


class Geometric(DrawnSubset[GeometricOptions]):
    """Each rank keeps `ratio` times the images of the rank before it."""

    def kept_counts(
        self, available_K: NDArray[np.int64], class_names: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return ceil(n_max * ratio**rank) images a class, so at least one (Mankikar, Patel and Zhang)."""
        n_max = int(available_K.max())
        by_rank = [math.ceil(n_max * self.options.ratio**rank) for rank in range(len(class_names))]
        kept_K = assign_ranks(by_rank, self.options.class_order, available_K, rng)
        refuse_empty_classes(kept_K, available_K, class_names, "a ratio nearer to 1")
        return kept_K


class DropClass(DrawnSubset[DropClassOptions]):
    """One class loses a share of its images, the others keep all."""

    def kept_counts(
        self, available_K: NDArray[np.int64], class_names: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return all images of every class but one, which loses round(fraction * its images).

        Raises DataError where the class does not exist, or where a fraction below 1 leaves it without an image.
        """
        class_id = find_class(self.options.dropped_class, class_names)
        kept_K = available_K.copy()
        kept_K[class_id] -= round(int(available_K[class_id]) * self.options.fraction)
        if self.options.fraction < 1:
            refuse_empty_classes(kept_K, available_K, class_names, "a smaller fraction, or 1 to remove the class")
        return kept_K


class ExplicitCounts(DrawnSubset[CountsOptions]):
    """The counts are given."""

    def kept_counts(
        self, available_K: NDArray[np.int64], class_names: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the counts as given; raises DataError where they do not fit the classes or exceed what there is."""
        kept_K = available_K.copy()
        match self.options.counts:
            case int(count):
                kept_K[:] = count
            case dict(table):
                for name, count in table.items():
                    kept_K[find_class(name, class_names)] = count
            case counts:
                if len(counts) != len(class_names):
                    raise DataError(f"counts lists {len(counts)} numbers, but there are {len(class_names)} classes")
                kept_K[:] = counts
        for name, kept, available in zip(class_names, kept_K, available_K, strict=True):
            if kept > available:
                raise DataError(f"counts asks for {kept} images of class {name!r}, which has {available}")
        return kept_K


def assign_ranks(
    by_rank: Sequence[int], class_order: ClassOrder, available_K: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Give rank r's count to the r-th class of the order, or all its images where it has fewer."""
    class_at_rank = rng.permutation(len(by_rank)) if class_order == "permuted" else np.arange(len(by_rank))
    wanted_K = np.empty(len(by_rank), dtype=np.int64)
    wanted_K[class_at_rank] = by_rank
    return np.minimum(wanted_K, available_K)


def find_class(wanted: str | int, class_names: Sequence[str]) -> int:
    """Return the id of a class given by name or id; raises DataError where there is none."""
    if isinstance(wanted, int):
        if wanted >= len(class_names):
            raise DataError(f"there is no class {wanted}: ids go from 0 to {len(class_names) - 1}")
        return wanted
    if wanted not in class_names:
        raise DataError(f"there is no class {wanted!r}{nearest(wanted, class_names)}")
    return class_names.index(wanted)


def refuse_empty_classes(
    kept_K: NDArray[np.int64], available_K: NDArray[np.int64], class_names: Sequence[str], remedy: str
) -> None:
    """Raise DataError for the first class that would keep no image, with what would help."""
    for name, kept, available in zip(class_names, kept_K, available_K, strict=True):
        if available == 0:
            raise DataError(f"class {name!r} has no training images: remove it from the data set")
        if kept == 0:
            raise DataError(f"class {name!r} would keep 0 of its {available} images: choose {remedy}")
