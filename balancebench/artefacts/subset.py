"""What `imbalance` leaves: which training images are kept, which validate, and the fingerprint of both."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from balancebench.artefacts.arrays import write_array, write_json
from balancebench.artefacts.splits import Splits
from balancebench.data import LabelledImages, class_counts
from balancebench.large_images import ImageRows
from balancebench.store import Store

__all__ = ["Subset", "SubsetDescription"]

DESCRIPTION, KEPT, VALIDATION = "subset.json", "kept.npy", "validation.npy"


class SubsetDescription(BaseModel):
    """What is known of a subset without its images. validation: where carved validation images come from, or None."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    class_names: tuple[str, ...]
    counts_K: tuple[int, ...]
    validation: str | None

    @classmethod
    def read(cls, store: Store, key: str) -> SubsetDescription:
        """Return the description of a finished step's subset."""
        return store.files(key).parsed(DESCRIPTION, cls.model_validate_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """A data set after imbalance: the kept training images and what they were chosen from.

    kept_N, validation_N: int64 indices of `splits.train`; validation_N is None where nothing was carved.
    """

    splits: Splits
    kept_N: NDArray[np.int64]
    validation_N: NDArray[np.int64] | None = None
    validation_source: str | None = None

    @property
    def train(self) -> LabelledImages:
        """The kept training images."""
        return self.splits.train.take(self.kept_N)

    @property
    def test_images_NCHW(self) -> NDArray[np.uint8] | ImageRows:
        """The test images; their labels are read by `read_test_labels`, where scores are computed."""
        return self.splits.test_images_NCHW

    @property
    def counts_K(self) -> NDArray[np.int64]:
        """The kept images of each class, int64 (K,)."""
        train = self.splits.train
        return class_counts(train.labels_N[self.kept_N], train.class_count)

    @property
    def validation(self) -> LabelledImages | None:
        """The validation images: carved ones, else the data set's own."""
        if self.validation_N is not None:
            return self.splits.train.take(self.validation_N)
        return self.splits.validation

    @property
    def kept_and_withheld(self) -> LabelledImages:
        """All training images that are not validation images, in the data set's order."""
        train = self.splits.train
        if self.validation_N is None:
            return train
        return train.take(np.setdiff1d(np.arange(len(train)), self.validation_N))

    @property
    def withheld(self) -> LabelledImages:
        """The training images that were removed (and are not validation images)."""
        train = self.splits.train
        free_N = np.ones(len(train), dtype=bool)
        free_N[self.kept_N] = False
        if self.validation_N is not None:
            free_N[self.validation_N] = False
        return train.take(np.flatnonzero(free_N).astype(np.int64))

    def write(self, folder: Path) -> None:
        """Write indices, fingerprint and counts; the images stay with the data set."""
        fingerprint = hashlib.sha256(self.splits.digests["train"].encode() + self.splits.digests["test"].encode())
        fingerprint.update(np.sort(self.kept_N).tobytes())
        fingerprint.update(b"" if self.validation_N is None else np.sort(self.validation_N).tobytes())
        write_array(folder / KEPT, self.kept_N)
        if self.validation_N is not None:
            write_array(folder / VALIDATION, self.validation_N)
        description = SubsetDescription(
            fingerprint=fingerprint.hexdigest(),
            class_names=self.splits.train.class_names,
            counts_K=tuple(self.counts_K.tolist()),
            validation=self.validation_source,
        )
        write_json(folder / DESCRIPTION, description.model_dump(mode="json"))

    @classmethod
    def read(cls, store: Store, key: str, dataset_key: str) -> Subset:
        """Map the subset of a finished step, and its data set."""
        files = store.files(key)
        return cls(
            splits=Splits.read(store, dataset_key),
            kept_N=files.array(KEPT),
            validation_N=files.array(VALIDATION) if files.has(VALIDATION) else None,
            validation_source=files.json(DESCRIPTION)["validation"],
        )
