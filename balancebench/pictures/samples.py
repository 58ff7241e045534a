"""Pictures of kind `samples`: some kept real images and some made ones of each class, of one synthesis.

Axis suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from balancebench.data import Origin
from balancebench.pictures.order import Drawing, PictureOrder, sentences
from balancebench.pictures.raster import blank, paste, png_bytes, text_width, tile, tile_size, write
from balancebench.pictures.scene import Scene, named_seeds
from balancebench.pictures.synthesis import Synthesis, syntheses

__all__ = ["ClassSamples", "class_samples", "samples_orders"]

TITLE = "Real and made images of each class"
MADE_FILES = ("synthetic_labels.npy", "synthetic_origins.npy", "synthetic_images.npy")
MOST_BYTES = 160_000
GAP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a picture shows: classes, real and made images of each, and the longest side of a tile in pixels."""

    classes: int
    real: int
    made: int
    side: int


# The first whose file is small enough is taken.
LADDER = (
    Limits(classes=20, real=4, made=8, side=64),
    Limits(classes=20, real=4, made=8, side=32),
    Limits(classes=16, real=3, made=6, side=32),
    Limits(classes=10, real=3, made=6, side=32),
    Limits(classes=10, real=2, made=4, side=32),
    Limits(classes=6, real=2, made=4, side=32),
    Limits(classes=4, real=1, made=2, side=32),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSamples:
    """A class: how many images of it are real and made, and where some of them lie.

    real_rows: in the dataset's training images. made_rows: in the synthesis. Both evenly spread over the class.
    """

    name: str
    real_count: int
    made_count: int
    real_rows: NDArray[np.int64]
    made_rows: NDArray[np.int64]


def samples_orders(scene: Scene) -> list[PictureOrder]:
    """Return an order for each synthesis that made images, of its first seed."""
    orders: list[PictureOrder] = []
    for found in syntheses(scene):
        seeds, key = next(iter(found.steps.items()))
        digests = scene.source.digests(key, *MADE_FILES)
        if len(digests) < len(MADE_FILES):  # no class was short of any
            continue
        subset_key = scene.plan.steps[key].inputs["subset"]
        load_key = scene.plan.steps[subset_key].inputs["dataset"]
        subject = f"{found.label}, {named_seeds([seeds])}"
        orders.append(
            PictureOrder(
                kind="samples",
                dataset=found.dataset,
                imbalancer=found.imbalancer,
                classifier=found.classifier,
                balancer=found.balancer,
                title=TITLE,
                subject=subject,
                alt=f"A row for each class, with kept images and images that {found.balancer} made: {subject}.",
                source=[
                    digests,
                    scene.source.digests(subset_key, "kept.npy"),
                    scene.source.digests(load_key, "train_images.npy", "train_labels.npy", "splits.json"),
                ],
                draw=lambda found=found, subject=subject: _draw(scene, found, subject),
            )
        )
    return orders


def class_samples(
    real_labels_N: NDArray[np.int64],
    kept_N: NDArray[np.int64],
    made_labels_N: NDArray[np.int64],
    class_names: Sequence[str],
    limits: Limits,
) -> list[ClassSamples]:
    """Return the classes to show, those with fewest real images first: of many the smallest and some of the largest."""
    real_K = np.bincount(real_labels_N[kept_N], minlength=len(class_names))
    made_K = np.bincount(made_labels_N, minlength=len(class_names))
    order = [int(label) for label in np.argsort(real_K, kind="stable") if real_K[label] + made_K[label]]
    if len(order) > limits.classes:
        largest = limits.classes // 4
        order = order[: limits.classes - largest] + order[len(order) - largest :]
    ordered_N = np.sort(kept_N)
    return [
        ClassSamples(
            name=class_names[label],
            real_count=int(real_K[label]),
            made_count=int(made_K[label]),
            real_rows=_spread(ordered_N[real_labels_N[ordered_N] == label], limits.real),
            made_rows=_spread(np.flatnonzero(made_labels_N == label).astype(np.int64), limits.made),
        )
        for label in order
    ]


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return at most `count` of the rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)] if len(rows) else rows


def _draw(scene: Scene, found: Synthesis, subject: str) -> Drawing:
    source = scene.source
    seeds, key = next(iter(found.steps.items()))
    subset_key = scene.plan.steps[key].inputs["subset"]
    load_key = scene.plan.steps[subset_key].inputs["dataset"]
    class_names = source.json(load_key, "splits.json")["class_names"]
    real_labels_N = source.array(load_key, "train_labels.npy")
    kept_N = source.array(subset_key, "kept.npy")
    made_labels_N = source.array(key, "synthetic_labels.npy")
    origins_N = source.array(key, "synthetic_origins.npy")
    real_NCHW = source.mapped(load_key, "train_images.npy")
    made_NCHW = source.mapped(key, "synthetic_images.npy")
    origin = Origin(int(np.bincount(origins_N).argmax())).name.lower()
    classes: list[ClassSamples] = []
    content = b""
    for limits in LADDER:
        classes = class_samples(real_labels_N, kept_N, made_labels_N, class_names, limits)
        content = _grid(classes, real_NCHW, made_NCHW, limits, origin, subject)
        if len(content) < MOST_BYTES:
            break
    occurring = len(np.unique(np.concatenate([real_labels_N[kept_N], made_labels_N])))
    left_out = occurring - len(classes)
    caption = sentences(
        f"{found.balancer}, {named_seeds([seeds])}: kept real images on the left, {origin} ones on the right, evenly "
        "spread over each class; the classes with fewest real images first.",
        f"{left_out} of {occurring} classes are left out: the smallest and some of the largest are shown."
        if left_out
        else "",
    )
    return Drawing(content=content, suffix="png", caption=caption)


def _grid(
    classes: Sequence[ClassSamples],
    real_NCHW: NDArray[np.uint8],
    made_NCHW: NDArray[np.uint8],
    limits: Limits,
    origin: str,
    subject: str,
) -> bytes:
    high, wide = tile_size(real_NCHW.shape[2:], limits.side)
    step = wide + GAP
    counts = [f"{found.real_count} real, {found.made_count} made" for found in classes]
    labels = min(180, max(text_width(text) for text in [*(found.name for found in classes), *counts])) + 10
    made_left = labels + limits.real * step + 12
    top, row_height = 66, max(high + GAP, 30)
    width = max(made_left + limits.made * step, text_width(TITLE, 15), text_width(subject)) + 4
    image = blank(width, top + len(classes) * row_height)
    write(image, TITLE, 0, 0, size=15)
    write(image, subject, 0, 22)
    write(image, "real", labels, 46)
    write(image, origin, made_left, 46)
    for place, (found, counted) in enumerate(zip(classes, counts, strict=True)):
        y = top + place * row_height
        write(image, found.name, 0, y, width=labels - 8)
        write(image, counted, 0, y + 14, size=10, width=labels - 8)
        for left, rows, images_NCHW in ((labels, found.real_rows, real_NCHW), (made_left, found.made_rows, made_NCHW)):
            for column, row in enumerate(rows):
                paste(image, tile(np.asarray(images_NCHW[row]), (high, wide)), left + column * step, y)
    return png_bytes(image, grey=real_NCHW.shape[1] == 1)
