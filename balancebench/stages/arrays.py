"""Writes images to a step's folder and maps them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from balancebench.data import DatasetSplits, LabelledImages
from balancebench.image_rows import is_large, row_chunks, rows_of

__all__ = ["map_array", "read_images", "read_splits", "write_array", "write_images", "write_json", "write_splits"]


def write_json(path: Path, value: object) -> None:
    """Write JSON; a NaN or infinity in `value` is an error here, not a surprise for the reader."""
    path.write_text(json.dumps(value, indent=1, allow_nan=False), encoding="utf-8")


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write one array as .npy, never pickled."""
    np.save(path, array, allow_pickle=False)


def map_array(path: Path) -> NDArray[Any]:
    """Map a .npy file into memory, read-only."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def write_images(folder: Path, name: str, images: LabelledImages) -> None:
    """Write images, labels and origins as NAME_images.npy, NAME_labels.npy and NAME_origins.npy."""
    with (folder / f"{name}_images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": images.images_NCHW.shape}
        )
        for chunk_MCHW in row_chunks(images.images_NCHW):
            file.write(np.ascontiguousarray(chunk_MCHW).data)
    write_array(folder / f"{name}_labels.npy", images.labels_N)
    write_array(folder / f"{name}_origins.npy", images.origins_N)


def read_images(
    folder: Path, name: str, class_names: tuple[str, ...], superclass_K: tuple[str, ...] | None
) -> LabelledImages:
    """Map images back, large ones as `ImageRows`; labels and origins are read whole."""
    images_NCHW = map_array(folder / f"{name}_images.npy")
    if is_large(images_NCHW.nbytes):
        images_NCHW = cast("NDArray[Any]", rows_of(images_NCHW))
    return LabelledImages(
        images_NCHW=images_NCHW,
        labels_N=np.array(map_array(folder / f"{name}_labels.npy")),
        class_names=class_names,
        superclass_K=superclass_K,
        origin_N=np.array(map_array(folder / f"{name}_origins.npy")),
    )


def write_splits(folder: Path, splits: DatasetSplits) -> None:
    """Write a dataset's splits with a digest of each."""
    parts = {"train": splits.train, "test": splits.test, "validation": splits.validation}
    present = {name: part for name, part in parts.items() if part is not None}
    for name, part in present.items():
        write_images(folder, name, part)
    description = {
        "class_names": list(splits.train.class_names),
        "superclass_K": None if splits.train.superclass_K is None else list(splits.train.superclass_K),
        "digests": {name: part.digest() for name, part in present.items()},
        "counts_K": {name: part.counts_K.tolist() for name, part in present.items()},
    }
    write_json(folder / "splits.json", description)


def read_splits(folder: Path) -> tuple[DatasetSplits, dict[str, str]]:
    """Map a dataset's splits back; returns them with the digest of each."""
    description = json.loads((folder / "splits.json").read_text(encoding="utf-8"))
    class_names = tuple(description["class_names"])
    superclass_K = None if description["superclass_K"] is None else tuple(description["superclass_K"])
    parts = {name: read_images(folder, name, class_names, superclass_K) for name in description["digests"]}
    return DatasetSplits(**parts), description["digests"]
