"""Pictures of kind `samples`: some kept real images and some made ones of each class, of one synthesis.

Axis suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.subset import Subset
from balancebench.artefacts.synthesis import SynthesisDescription, SynthesisedImages
from balancebench.data import Origin
from balancebench.errors import StoreError
from balancebench.large_images import ImageRows
from balancebench.leaderboard.picture_manifest import Picture
from balancebench.pictures.drawing import Drawing, PictureOrder, sentences
from balancebench.pictures.raster import blank, paste, png_bytes, text_width, tile, tile_size, write
from balancebench.pictures.scene import Scene, named_seeds
from balancebench.pictures.syntheses import Synthesis, syntheses

__all__ = ["ClassSamples", "class_samples", "samples_orders"]

TITLE = "Real and made images of each class"
MOST_BYTES = 160_000
GAP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a picture shows: classes, real and made images of each, and the longest side of a tile in pixels."""

    classes: int
    real: int
    synthetic: int
    side: int


# The first whose file is small enough is taken.
LADDER = (
    Limits(classes=20, real=4, synthetic=8, side=64),
    Limits(classes=20, real=4, synthetic=8, side=32),
    Limits(classes=16, real=3, synthetic=6, side=32),
    Limits(classes=10, real=3, synthetic=6, side=32),
    Limits(classes=10, real=2, synthetic=4, side=32),
    Limits(classes=6, real=2, synthetic=4, side=32),
    Limits(classes=4, real=1, synthetic=2, side=32),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSamples:
    """A class: how many images of it are real and made, and where some of them lie.

    real_rows: in the dataset's training images. synthetic_rows: in the synthesis. Both evenly spread over the class.
    """

    name: str
    real_count: int
    synthetic_count: int
    real_rows: NDArray[np.int64]
    synthetic_rows: NDArray[np.int64]


def samples_orders(scene: Scene) -> list[PictureOrder]:
    """Return an order for each synthesis that made images, of its first seed."""
    orders: list[PictureOrder] = []
    for synthesis in syntheses(scene):
        seeds, key = next(iter(synthesis.steps.items()))
        if SynthesisDescription.read(scene.store, key).images == 0:  # no class was short of any
            continue
        inputs = scene.inputs(key)
        subject = f"{synthesis.label}, {named_seeds([seeds])}"
        orders.append(
            PictureOrder(
                picture=Picture(
                    kind="samples",
                    dataset=synthesis.dataset,
                    imbalancer=synthesis.imbalancer,
                    classifier=synthesis.classifier,
                    balancer=synthesis.balancer,
                    title=f"{TITLE}: {subject}",
                    alt=f"A row for each class, with kept images and images that {synthesis.balancer} made: {subject}.",
                ),
                source=[scene.digest(key), scene.digest(inputs.subset), scene.digest(inputs.dataset)],
                draw=lambda synthesis=synthesis, subject=subject: _draw(scene, synthesis, subject),
            )
        )
    return orders


def class_samples(
    real_labels_N: NDArray[np.int64],
    kept_N: NDArray[np.int64],
    synthetic_labels_N: NDArray[np.int64],
    class_names: Sequence[str],
    limits: Limits,
) -> list[ClassSamples]:
    """Return the classes to show, those with fewest real images first: of many the smallest and some of the largest."""
    real_K = np.bincount(real_labels_N[kept_N], minlength=len(class_names))
    synthetic_K = np.bincount(synthetic_labels_N, minlength=len(class_names))
    order = [int(label) for label in np.argsort(real_K, kind="stable") if real_K[label] + synthetic_K[label]]
    if len(order) > limits.classes:
        largest = limits.classes // 4
        order = order[: limits.classes - largest] + order[len(order) - largest :]
    ordered_N = np.sort(kept_N)
    return [
        ClassSamples(
            name=class_names[label],
            real_count=int(real_K[label]),
            synthetic_count=int(synthetic_K[label]),
            real_rows=_spread(ordered_N[real_labels_N[ordered_N] == label], limits.real),
            synthetic_rows=_spread(np.flatnonzero(synthetic_labels_N == label).astype(np.int64), limits.synthetic),
        )
        for label in order
    ]


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return at most `count` of the rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.int64)] if len(rows) else rows


def _draw(scene: Scene, synthesis: Synthesis, subject: str) -> Drawing:
    seeds, key = next(iter(synthesis.steps.items()))
    inputs = scene.inputs(key)
    subset = Subset.read(scene.store, inputs.subset, inputs.dataset)
    real, kept_N = subset.splits.train, subset.kept_N
    synthetic = SynthesisedImages.read(scene.store, key, real).images
    if synthetic is None:
        raise StoreError(f"the synthesis {key[:12]} has no images")
    class_names, real_labels_N, synthetic_labels_N = real.class_names, real.labels_N, synthetic.labels_N
    origin = Origin(int(np.bincount(synthetic.origins_N).argmax())).name.lower()
    classes: list[ClassSamples] = []
    content = b""
    for limits in LADDER:
        classes = class_samples(real_labels_N, kept_N, synthetic_labels_N, class_names, limits)
        content = _grid(classes, real.images_NCHW, synthetic.images_NCHW, limits, origin, subject)
        if len(content) < MOST_BYTES:
            break
    occurring = len(np.unique(np.concatenate([real_labels_N[kept_N], synthetic_labels_N])))
    left_out = occurring - len(classes)
    caption = sentences(
        f"{synthesis.balancer}, {named_seeds([seeds])}: kept real images on the left, {origin} ones on the right, "
        "evenly spread over each class; the classes with fewest real images first.",
        f"{left_out} of {occurring} classes are left out: the smallest and some of the largest are shown."
        if left_out
        else "",
    )
    return Drawing(content=content, suffix="png", caption=caption)


def _grid(
    classes: Sequence[ClassSamples],
    real_NCHW: NDArray[np.uint8] | ImageRows,
    synthetic_NCHW: NDArray[np.uint8] | ImageRows,
    limits: Limits,
    origin: str,
    subject: str,
) -> bytes:
    high, wide = tile_size(real_NCHW.shape[2:], limits.side)
    step = wide + GAP
    counts = [f"{samples.real_count} real, {samples.synthetic_count} made" for samples in classes]
    labels = min(180, max(text_width(text) for text in [*(samples.name for samples in classes), *counts])) + 10
    synthetic_left = labels + limits.real * step + 12
    top, row_height = 66, max(high + GAP, 30)
    width = max(synthetic_left + limits.synthetic * step, text_width(TITLE, 15), text_width(subject)) + 4
    image = blank(width, top + len(classes) * row_height)
    write(image, TITLE, 0, 0, size=15)
    write(image, subject, 0, 22)
    write(image, "real", labels, 46)
    write(image, origin, synthetic_left, 46)
    for index, (samples, counted) in enumerate(zip(classes, counts, strict=True)):
        y = top + index * row_height
        write(image, samples.name, 0, y, width=labels - 8)
        write(image, counted, 0, y + 14, size=10, width=labels - 8)
        for left, rows, images_NCHW in (
            (labels, samples.real_rows, real_NCHW),
            (synthetic_left, samples.synthetic_rows, synthetic_NCHW),
        ):
            for column, row in enumerate(rows):
                paste(image, tile(np.asarray(images_NCHW[row]), (high, wide)), left + column * step, y)
    return png_bytes(image, grey=real_NCHW.shape[1] == 1)
