"""Writes images and arrays to a step's folder, and maps them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.data import LabelledImages
from balancebench.large_images import ImageRows, is_large, row_chunks, rows_of
from balancebench.store import StepFiles

__all__ = ["map_array", "map_image_rows", "read_images", "write_array", "write_images", "write_json"]


def write_json(path: Path, value: object) -> None:
    """Write JSON; a NaN or infinity in `value` is an error here, not a surprise for the reader."""
    path.write_text(json.dumps(value, indent=1, allow_nan=False), encoding="utf-8")


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write one array as .npy, never pickled."""
    np.save(path, array, allow_pickle=False)


def map_array(files: StepFiles, name: str) -> NDArray[Any]:
    """Map a .npy file of a step into memory, read-only."""
    return np.load(files.mapped(name), mmap_mode="r", allow_pickle=False)


def write_images(folder: Path, name: str, images: LabelledImages, *, labelled: bool = True) -> None:
    """Write images, labels and origins as NAME_images.npy, NAME_labels.npy and NAME_origins.npy; or images alone."""
    with (folder / f"{name}_images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": images.images_NCHW.shape}
        )
        for chunk_MCHW in row_chunks(images.images_NCHW):
            file.write(np.ascontiguousarray(chunk_MCHW).data)
    if labelled:
        write_array(folder / f"{name}_labels.npy", images.labels_N)
        write_array(folder / f"{name}_origins.npy", images.origins_N)


def map_image_rows(files: StepFiles, name: str) -> NDArray[np.uint8] | ImageRows:
    """Map the images of a file, NCHW, large ones as `ImageRows`."""
    mapped_NCHW = map_array(files, name)
    return rows_of(mapped_NCHW) if is_large(mapped_NCHW.nbytes) else mapped_NCHW


def read_images(
    files: StepFiles, name: str, class_names: tuple[str, ...], superclass_K: tuple[str, ...] | None
) -> LabelledImages:
    """Map images back; labels and origins are read whole."""
    return LabelledImages(
        images_NCHW=map_image_rows(files, f"{name}_images.npy"),
        labels_N=files.array(f"{name}_labels.npy"),
        class_names=class_names,
        superclass_K=superclass_K,
        origin_N=files.array(f"{name}_origins.npy"),
    )
