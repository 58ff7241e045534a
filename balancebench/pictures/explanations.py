"""Heat-maps of what trained networks look at, side by side for the rows of a task.

A line of the picture is a test image: itself first, then for each row the map of its network laid over it, red where
pixels speak for the true class and blue where they speak against it, with the probability given to that class.
Axis suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from balancebench.pictures.raster import blank, paste, png_bytes, text_width, tile, tile_size, write

__all__ = ["ExplainedRow", "explanation_picture", "typical_images"]

SIDE = 128
GAP = 8
RED, BLUE = np.array([220.0, 30.0, 40.0]), np.array([40.0, 80.0, 220.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedRow:
    """A row's network on the images. maps_NHW: float32, signed. probability_N: of the true class."""

    name: str
    maps_NHW: NDArray[np.float32]
    probability_N: NDArray[np.float32]
    predicted_N: NDArray[np.int64]


def typical_images(
    images_NCHW: NDArray[np.uint8], labels_N: NDArray[np.int64], class_count: int, per_class: int
) -> NDArray[np.int64]:
    """Return the indices of the images of each class nearest to the mean of their class, pixel by pixel."""
    chosen: list[int] = []
    for label in range(class_count):
        members = np.flatnonzero(labels_N == label)
        if len(members) == 0:
            continue
        pixels_ND = np.asarray(images_NCHW[members]).reshape(len(members), -1).astype(np.float64)
        distances_N = ((pixels_ND - pixels_ND.mean(axis=0)) ** 2).sum(axis=1)
        chosen += members[np.argsort(distances_N, kind="stable")[:per_class]].tolist()
    return np.array(chosen, dtype=np.int64)


def explanation_picture(
    images_NCHW: NDArray[np.uint8],
    labels_N: NDArray[np.int64],
    class_names: Sequence[str],
    rows: Sequence[ExplainedRow],
    title: str,
    subject: str,
) -> bytes:
    """Return a PNG: a line an image, a column a row."""
    high, wide = tile_size(images_NCHW.shape[2:], SIDE)
    labels_width = min(160, max(text_width(name) for name in class_names)) + 12
    step_x, step_y, top = wide + GAP, high + 24, 66
    width = max(labels_width + (1 + len(rows)) * step_x, text_width(title, 15) + 4, text_width(subject) + 4)
    image = blank(width, top + len(images_NCHW) * step_y)
    write(image, title, 0, 0, size=15)
    write(image, subject, 0, 22)
    for column, name in enumerate(["image", *(row.name for row in rows)]):
        write(image, name, labels_width + column * step_x, 46, width=wide)
    for index, image_CHW in enumerate(images_NCHW):
        y = top + index * step_y
        write(image, class_names[int(labels_N[index])], 0, y, width=labels_width - 8)
        paste(image, tile(image_CHW, (high, wide)), labels_width, y)
        for column, row in enumerate(rows, start=1):
            x = labels_width + column * step_x
            paste(image, tile(_overlaid(image_CHW, row.maps_NHW[index]), (high, wide)), x, y)
            right = row.predicted_N[index] == labels_N[index]
            said = f"{row.probability_N[index]:.0%}"
            text = said if right else f"{said}, says {class_names[int(row.predicted_N[index])]}"
            write(image, text, x, y + high + 3, size=11, width=wide)
    return png_bytes(image)


def _overlaid(image_CHW: NDArray[np.uint8], map_HW: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the image in grey with the map over it; the map's 99th percentile is the full colour."""
    grey_HW = image_CHW.astype(np.float64).mean(axis=0) * 0.6 + 80
    strength_HW = np.abs(map_HW) / max(float(np.percentile(np.abs(map_HW), 99)), 1e-12)
    share_HW1 = strength_HW.clip(0, 1)[..., None] * 0.85
    colour_HWC = np.where(map_HW[..., None] >= 0, RED, BLUE)
    mixed_HWC = grey_HW[..., None] * (1 - share_HW1) + colour_HWC * share_HW1
    return mixed_HWC.round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1)
