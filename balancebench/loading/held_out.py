"""What all built-in datasets share: holding out test images, the first images of each class, super-classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from balancebench.data import DatasetSplits, LabelledImages, class_counts
from balancebench.errors import DataError, nearest
from balancebench.seeds import seed_for

if TYPE_CHECKING:
    from balancebench.loading.options import DatasetOptions

__all__ = ["as_asked", "first_of_each_class", "held_out", "refuse_emptied_classes", "superclass_of_each"]


def as_asked(splits: DatasetSplits, options: DatasetOptions) -> DatasetSplits:
    """Return `splits` with the super-classes and the number of training images that `options` ask for."""
    train = splits.train
    if options.images_per_class is not None:
        train = train.take(first_of_each_class(train.labels_N, options.images_per_class))
    if options.superclasses is None:
        return replace(splits, train=train)
    superclass_K = superclass_of_each(train.class_names, options.superclasses)

    def classed(images: LabelledImages) -> LabelledImages:
        return replace(images, superclass_K=superclass_K)

    return DatasetSplits(
        train=classed(train),
        test=classed(splits.test),
        validation=None if splits.validation is None else classed(splits.validation),
    )


def first_of_each_class(labels_N: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return the indices, ascending, of the first `limit` images of each class."""
    by_class_N = np.argsort(labels_N, kind="stable")
    sorted_labels_N = labels_N[by_class_N]
    rank_in_class_N = np.arange(len(labels_N)) - np.searchsorted(sorted_labels_N, sorted_labels_N)
    return np.sort(by_class_N[rank_in_class_N < limit])


def held_out(
    labels_N: NDArray[np.int64], class_names: Sequence[str], test_fraction: float, split_seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split stratified: return the indices of the training and of the test images, each ascending.

    Each class keeps round(test_fraction * count) images for testing, but at least one on either side, drawn from a
    stream of its own: another class in the data set changes nothing for it. Raises DataError for a class of one image.
    """
    test = np.zeros(len(labels_N), dtype=bool)
    for label, count in enumerate(class_counts(labels_N, len(class_names))):
        if count < 2:
            raise DataError(
                f"class {class_names[label]!r} has {count} image(s); a test fraction needs at least 2 in every class"
            )
        test_count = min(max(round(test_fraction * int(count)), 1), int(count) - 1)
        rng = np.random.default_rng(seed_for("test split", split_seed, class_names[label]))
        test[rng.permutation(np.flatnonzero(labels_N == label))[:test_count]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def superclass_of_each(class_names: Sequence[str], superclasses: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the super-class of each class; raises DataError unless the table names every class exactly once."""
    superclass_of: dict[str, str] = {}
    for superclass, names in superclasses.items():
        for name in names:
            if name not in class_names:
                raise DataError(f"super-class {superclass!r} names {name!r}, no class here{nearest(name, class_names)}")
            if name in superclass_of:
                raise DataError(f"class {name!r} is in super-classes {superclass_of[name]!r} and {superclass!r}")
            superclass_of[name] = superclass
    if missing := [name for name in class_names if name not in superclass_of]:
        raise DataError(f"{_listed(missing)} without a super-class: `superclasses` must name every class")
    return tuple(superclass_of[name] for name in class_names)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{'class' if len(names) == 1 else 'classes'} {shown}{more}"


def refuse_emptied_classes(
    where: str, split: str, labels_N: NDArray[np.int64], kept_M: NDArray[np.int64], class_names: Sequence[str]
) -> None:
    """Raise DataError where all images of a class were broken and left out. kept_M: indices of those that were not."""
    emptied = sorted(set(labels_N.tolist()) - set(labels_N[kept_M].tolist()))
    if emptied:
        raise DataError(
            f"{where}: no {split} image of class {class_names[emptied[0]]!r} can be read: mend one, or remove the class"
        )
