"""Labelled images and the splits of a data set, as they travel between datasets, balancers and classifiers.

Axis suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from balancebench.errors import DataError
from balancebench.large_images import ImageRows, join_rows, row_chunks, take_rows
from balancebench.plain_text import hidden_character, visible

__all__ = ["UNKNOWN_PARENT", "DatasetSplits", "LabelledImages", "Origin", "Parents", "class_counts", "concatenate"]


UNKNOWN_PARENT = -1


class Origin(IntEnum):
    """Where an image came from."""

    REAL = 0
    REPEATED = 1
    AUGMENTED = 2
    SYNTHETIC = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Parents:
    """The training images that made images come from, as far as their balancer knows.

    first_N: int64, rows of the training set that the balancer was given; UNKNOWN_PARENT where it does not say.
    second_N: int64, the same of images between two; UNKNOWN_PARENT where there is no second.
    second_weight_N: float64, 0..1: the image is (1 - weight) first + weight second, rounded; 0 without a second.

    Raises DataError where dtypes, shapes or weights do not fit.
    """

    first_N: NDArray[np.int64]
    second_N: NDArray[np.int64]
    second_weight_N: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, array, dtype in (
            ("first_N", self.first_N, np.int64),
            ("second_N", self.second_N, np.int64),
            ("second_weight_N", self.second_weight_N, np.float64),
        ):
            if array.dtype != dtype or array.shape != self.first_N.shape or array.ndim != 1:
                raise DataError(f"{name} of parents must be {np.dtype(dtype)} (N,), got {array.dtype} {array.shape}")
        if not ((self.second_weight_N >= 0) & (self.second_weight_N <= 1)).all():
            raise DataError("second_weight_N of parents must lie in 0..1")

    @classmethod
    def single(cls, rows_N: NDArray[np.int64]) -> Parents:
        """Return parents of images that come from one training image each, in whatever way."""
        none_N = np.full(len(rows_N), UNKNOWN_PARENT, dtype=np.int64)
        return cls(first_N=rows_N, second_N=none_N, second_weight_N=np.zeros(len(rows_N)))

    @property
    def last_row(self) -> int:
        """The largest row that is named, UNKNOWN_PARENT where none is."""
        return int(max(rows_N.max(initial=UNKNOWN_PARENT) for rows_N in (self.first_N, self.second_N)))

    def take(self, indices_M: NDArray[np.int64]) -> Parents:
        """Return those of the images at `indices_M`, in that order."""
        return Parents(
            first_N=self.first_N[indices_M],
            second_N=self.second_N[indices_M],
            second_weight_N=self.second_weight_N[indices_M],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """Images with one label each.

    images_NCHW: uint8, 0..255, C is 1 (grey) or 3 (RGB); may be memory-mapped and read-only, and of a large set
    (512 MiB and more) it is an `ImageRows`, which passes for an array and reads the images that it is indexed by.
    labels_N: int64, 0..K-1.
    class_names: K names; the index is the label.
    superclass_K: for each class the name of its super-class, or None where there are none.
    origin_N: uint8, values of `Origin`; all REAL when left out.
    parents: which training images they were made from; None where nobody says. It stays in memory: what is read from a
    store has none.

    Raises DataError where shapes, dtypes, label values or origins do not fit, or a class name is no text that shows.

    >>> grey_NCHW = np.zeros((3, 1, 8, 8), dtype=np.uint8)
    >>> images = LabelledImages(images_NCHW=grey_NCHW, labels_N=np.array([0, 0, 1]), class_names=("cat", "dog"))
    >>> images.counts_K, [Origin(origin).name for origin in images.origins_N]
    (array([2, 1]), ['REAL', 'REAL', 'REAL'])
    """

    images_NCHW: NDArray[np.uint8] | ImageRows
    labels_N: NDArray[np.int64]
    class_names: tuple[str, ...]
    superclass_K: tuple[str, ...] | None = None
    origin_N: NDArray[np.uint8] | None = None
    parents: Parents | None = None

    def __post_init__(self) -> None:
        if self.parents is not None and self.parents.first_N.shape != self.labels_N.shape:
            raise DataError(f"{len(self.labels_N)} images but parents of {len(self.parents.first_N)}")
        _check_names("class_names", self.class_names)
        _check_names("superclass_K", self.superclass_K or ())
        if self.images_NCHW.dtype != np.uint8 or self.images_NCHW.ndim != 4:
            raise DataError(f"images must be uint8 NCHW, got {self.images_NCHW.dtype} {self.images_NCHW.shape}")
        if self.labels_N.dtype != np.int64 or self.labels_N.shape != self.images_NCHW.shape[:1]:
            raise DataError(
                f"labels must be int64 of shape ({len(self.images_NCHW)},), got {self.labels_N.dtype} "
                f"{self.labels_N.shape}"
            )
        if len(self.labels_N) and not (self.labels_N.min() >= 0 and self.labels_N.max() < len(self.class_names)):
            raise DataError(
                f"labels must lie in 0..{len(self.class_names) - 1}, got {self.labels_N.min()}..{self.labels_N.max()}"
            )
        if self.superclass_K is not None and len(self.superclass_K) != len(self.class_names):
            raise DataError(f"{len(self.class_names)} classes but {len(self.superclass_K)} super-class names")
        if self.origin_N is None:
            object.__setattr__(self, "origin_N", np.full(len(self.labels_N), Origin.REAL, dtype=np.uint8))
        elif self.origin_N.dtype != np.uint8 or self.origin_N.shape != self.labels_N.shape:
            raise DataError(
                f"origins must be uint8 of shape {self.labels_N.shape}, got {self.origin_N.dtype} {self.origin_N.shape}"
            )
        elif len(self.origin_N) and self.origin_N.max() > max(Origin):  # its values are 0, 1, ... without a gap
            known = ", ".join(f"{origin.value} ({origin.name.lower()})" for origin in Origin)
            raise DataError(f"origin {self.origin_N.max()} is none of Origin, which has {known}")

    def __len__(self) -> int:
        return len(self.labels_N)

    @property
    def class_count(self) -> int:
        """The number of classes K, those without an image included."""
        return len(self.class_names)

    @property
    def counts_K(self) -> NDArray[np.int64]:
        """Images of each class, int64 of shape (K,)."""
        return class_counts(self.labels_N, self.class_count)

    def take(self, indices_M: NDArray[np.int64], origin: Origin | None = None) -> LabelledImages:
        """Return the images at `indices_M`, in that order; `origin` overwrites where they came from.

        Images are copied, but for large sets, which stay where they are (`balancebench.large_images`).
        """
        origin_M = self.origins_N[indices_M] if origin is None else np.full(len(indices_M), origin, dtype=np.uint8)
        return replace(
            self,
            images_NCHW=take_rows(self.images_NCHW, indices_M),
            labels_N=self.labels_N[indices_M],
            origin_N=origin_M,
            parents=None if self.parents is None else self.parents.take(indices_M),
        )

    @property
    def origins_N(self) -> NDArray[np.uint8]:
        """`origin_N`, which is never None after construction."""
        assert self.origin_N is not None  # noqa: S101 - filled in by __post_init__
        return self.origin_N

    def digest(self) -> str:
        """Return the SHA-256 of images, labels and class names, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        digest.update(repr((self.images_NCHW.shape, self.class_names)).encode())
        for chunk_MCHW in row_chunks(self.images_NCHW):
            digest.update(np.ascontiguousarray(chunk_MCHW).data)
        digest.update(np.ascontiguousarray(self.labels_N).data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSplits:
    """What a dataset loads: all its training images, its test images, and validation images where it has them."""

    train: LabelledImages
    test: LabelledImages
    validation: LabelledImages | None = None

    def parts(self) -> dict[str, LabelledImages]:
        """Return the splits that there are, by name: "train", "test" and "validation"."""
        parts = {"train": self.train, "test": self.test, "validation": self.validation}
        return {name: part for name, part in parts.items() if part is not None}

    def __post_init__(self) -> None:
        for name, split in self.parts().items():
            if split.class_names != self.train.class_names:
                raise DataError(f"the {name} split has other classes than the training split")
            if split.images_NCHW.shape[1:] != self.train.images_NCHW.shape[1:]:
                raise DataError(
                    f"{name} images have shape {split.images_NCHW.shape[1:]}, training images "
                    f"{self.train.images_NCHW.shape[1:]}"
                )


def _check_names(field: str, names: Sequence[object]) -> None:
    for label, name in enumerate(names):
        if not isinstance(name, str):
            raise DataError(
                f"{field}[{label}] is {name!r}, of type {type(name).__name__}; a name is text: {str(name)!r}"
            )
        if (character := hidden_character(name)) is not None:
            raise DataError(
                f"{field}[{label}] is {visible(name)!r}, which holds {character}, a character that does not show; "
                "give the class another name"
            )


def class_counts(labels_N: NDArray[np.int64], class_count: int) -> NDArray[np.int64]:
    """Return the number of images of each class, int64 of shape (K,).

    >>> class_counts(np.array([0, 2, 2]), class_count=4)
    array([1, 0, 2, 0])
    """
    return np.bincount(labels_N, minlength=class_count).astype(np.int64)


def concatenate(parts: Sequence[LabelledImages]) -> LabelledImages:
    """Return the images of all `parts`, in their order; classes must agree.

    >>> grey_NCHW = np.zeros((2, 1, 8, 8), dtype=np.uint8)
    >>> images = LabelledImages(images_NCHW=grey_NCHW, labels_N=np.array([0, 1]), class_names=("cat", "dog"))
    >>> len(concatenate([images, images]))
    4
    """
    first = parts[0]
    if any(part.class_names != first.class_names for part in parts):
        raise DataError("image sets with different classes cannot be joined")
    return replace(
        first,
        images_NCHW=join_rows([part.images_NCHW for part in parts]),
        labels_N=np.concatenate([part.labels_N for part in parts]),
        origin_N=np.concatenate([part.origins_N for part in parts]),
        parents=_joined_parents(parts),
    )


def _joined_parents(parts: Sequence[LabelledImages]) -> Parents | None:
    """Return the parents of all `parts`, unknown where a part does not say; None where none does."""
    if all(part.parents is None for part in parts):
        return None
    known = [part.parents or Parents.single(np.full(len(part), UNKNOWN_PARENT, dtype=np.int64)) for part in parts]
    return Parents(
        first_N=np.concatenate([parents.first_N for parents in known]),
        second_N=np.concatenate([parents.second_N for parents in known]),
        second_weight_N=np.concatenate([parents.second_weight_N for parents in known]),
    )
