"""What `load` leaves: a data set's images, decoded, with a digest of each split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from balancebench.artefacts.arrays import read_images, write_images, write_json
from balancebench.data import DatasetSplits
from balancebench.store import StepFiles, Store

__all__ = ["Splits", "SplitsDescription", "read_test_labels"]

DESCRIPTION = "splits.json"


class SplitsDescription(BaseModel):
    """What is known of splits without their images; digests and counts_K are of "train", "test" and "validation"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    class_names: tuple[str, ...]
    superclass_K: tuple[str, ...] | None
    digests: dict[str, str]
    counts_K: dict[str, tuple[int, ...]]

    @classmethod
    def read(cls, store: Store, key: str) -> SplitsDescription:
        """Return the description of a finished step's splits."""
        return _description(store.files(key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Splits:
    """The images of a data set. digests: split -> SHA-256 of its images and labels."""

    images: DatasetSplits
    digests: dict[str, str]

    @classmethod
    def of(cls, images: DatasetSplits) -> Splits:
        """Return splits with their digests."""
        return cls(images=images, digests={name: part.digest() for name, part in images.parts().items()})

    def write(self, folder: Path) -> None:
        """Write all images and the description."""
        for name, part in self.images.parts().items():
            write_images(folder, name, part)
        superclass_K = self.images.train.superclass_K
        description: dict[str, Any] = {
            "class_names": list(self.images.train.class_names),
            "superclass_K": None if superclass_K is None else list(superclass_K),
            "digests": self.digests,
            "counts_K": {name: part.counts_K.tolist() for name, part in self.images.parts().items()},
        }
        write_json(folder / DESCRIPTION, description)

    @classmethod
    def read(cls, store: Store, key: str) -> Splits:
        """Map the splits of a finished step."""
        files = store.files(key)
        description = _description(files)
        parts = {
            name: read_images(files, name, description.class_names, description.superclass_K)
            for name in description.digests
        }
        return cls(images=DatasetSplits(**parts), digests=description.digests)


def read_test_labels(store: Store, key: str) -> NDArray[np.int64]:
    """Return the labels of the test images alone, int64 (N,)."""
    return store.files(key).array("test_labels.npy")


def _description(files: StepFiles) -> SplitsDescription:
    return files.parsed(DESCRIPTION, SplitsDescription.model_validate_json)
