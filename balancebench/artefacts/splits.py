"""What `load` leaves: a data set's images, decoded, with a digest of each split.

The labels of the test images lie apart, in a store of their own (`Store.answers`), which no step of a plugin opens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from balancebench.artefacts.arrays import map_image_rows, read_images, write_array, write_images, write_json
from balancebench.data import DatasetSplits, LabelledImages
from balancebench.large_images import ImageRows
from balancebench.store import StepFiles, Store

__all__ = ["Splits", "SplitsDescription", "read_test_labels", "write_splits"]

DESCRIPTION, TEST_IMAGES, TEST_LABELS = "splits.json", "test_images.npy", "test_labels.npy"


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
    """The images of a data set, of the test images without their labels. digests: split -> SHA-256, labels included."""

    train: LabelledImages
    validation: LabelledImages | None
    test_images_NCHW: NDArray[np.uint8] | ImageRows
    digests: dict[str, str]

    @classmethod
    def read(cls, store: Store, key: str) -> Splits:
        """Map the splits of a finished step."""
        files = store.files(key)
        description = _description(files)

        def part(name: str) -> LabelledImages:
            return read_images(files, name, description.class_names, description.superclass_K)

        return cls(
            train=part("train"),
            validation=part("validation") if "validation" in description.digests else None,
            test_images_NCHW=map_image_rows(files, TEST_IMAGES),
            digests=description.digests,
        )


def write_splits(images: DatasetSplits, folder: Path, answers: Path) -> None:
    """Write all images and the description to one folder, the labels of the test images to another."""
    for name, part in images.parts().items():
        write_images(folder, name, part, labelled=name != "test")
    write_array(answers / TEST_LABELS, images.test.labels_N)
    superclass_K = images.train.superclass_K
    description: dict[str, Any] = {
        "class_names": list(images.train.class_names),
        "superclass_K": None if superclass_K is None else list(superclass_K),
        "digests": {name: part.digest() for name, part in images.parts().items()},
        "counts_K": {name: part.counts_K.tolist() for name, part in images.parts().items()},
    }
    write_json(folder / DESCRIPTION, description)


def read_test_labels(store: Store, key: str) -> NDArray[np.int64]:
    """Return the labels of the test images, int64 (N,): for the stage that scores, and for who shows results."""
    with store.answers.opened():
        return store.answers.files(key).array(TEST_LABELS)


def _description(files: StepFiles) -> SplitsDescription:
    return files.parsed(DESCRIPTION, SplitsDescription.model_validate_json)
