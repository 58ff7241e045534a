"""Whether made images are degenerate: flat, near-identical, or far from any real image. NumPy only, and quick.

Images are averaged over areas to 16x16 pixels at most. Three figures of each class compare the made images with the
class's real ones, and where these are fewer than five, with those of all classes:

    contrast   deviation of the pixels within an image, mean over images           made / real
    spread     deviation of a pixel between images, mean over pixels               made / real
    distance   from an image to the nearest real one, median over images           made / real (without itself)

Real images are 1, 1 and 1 but for chance. The limits are measured: docs/decisions/028-degenerate-images.md.

Axis suffixes: N images, K classes, C channels, H rows, W columns, B blocks, P pixels (channels * rows * columns).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from balancebench.data import LabelledImages, Origin

__all__ = ["ImageFigures", "degeneracy_warnings", "image_figures"]

SIDE = 16
IMAGES_COMPARED = 500  # of a class, real ones and made ones: evenly spaced among them
READ_AT_ONCE = 64
ENOUGH_REAL = 5
ENOUGH_MADE = 5  # for a spread; fewer have none
LEAST_REAL = 1e-3  # of 0..1, a quarter of a grey level: real images that differ by less are no measure
LEAST_CONTRAST = 0.2
LEAST_SPREAD = 0.3
LARGEST_DISTANCE = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFigures:
    """What is known of one class's made images, relative to real ones; None where it cannot be told.

    contrast, spread: 0 or more, 1 as real images; 0 is flat, or all the same. distance: 0 or more, 1 as real images; 0
    is copies of real ones.
    """

    contrast: float | None
    spread: float | None
    distance: float | None


def image_figures(images: LabelledImages, train: LabelledImages) -> tuple[ImageFigures | None, ...]:
    """Return the figures of each class, None where it has no image of origin SYNTHETIC.

    images, train: of the same classes and shape of images; train are the real images that were left.
    """
    generated_N = images.origins_N == Origin.SYNTHETIC
    if len(train) == 0:
        return (None,) * train.class_count
    everywhere: _Real | None = None
    figures_K: list[ImageFigures | None] = []
    for label in range(train.class_count):
        chosen = _evenly(np.flatnonzero(generated_N & (images.labels_N == label)))
        if len(chosen) == 0:
            figures_K.append(None)
            continue
        real = np.flatnonzero(train.labels_N == label)
        if len(real) >= ENOUGH_REAL:
            reference = _Real.of(_small(train, _evenly(real)))
        else:
            reference = everywhere = everywhere or _Real.of(_small(train, _evenly(np.arange(len(train)))))
        figures_K.append(_compared(_small(images, chosen), reference))
    return tuple(figures_K)


def degeneracy_warnings(figures_K: Sequence[ImageFigures | None]) -> list[str]:
    """Return one line for each way in which images of any class are degenerate, with the median figure of those."""
    told = [figures for figures in figures_K if figures is not None]

    def line(what: str, values: list[float | None], is_degenerate: Callable[[float], bool], meaning: str) -> list[str]:
        marked = [value for value in values if value is not None and is_degenerate(value)]
        if not marked:
            return []
        return [f"{what} images in {len(marked)} of {len(told)} classes: {meaning.format(np.median(marked))}"]

    return [
        *line(
            "flat",
            [figures.contrast for figures in told],
            lambda contrast: contrast < LEAST_CONTRAST,
            "contrast {:.2f} of the real images'",
        ),
        *line(
            "near-identical",
            [figures.spread for figures in told],
            lambda spread: spread < LEAST_SPREAD,
            "spread {:.2f} of the real images'",
        ),
        *line(
            "far-off",
            [figures.distance for figures in told],
            lambda distance: distance > LARGEST_DISTANCE,
            "{:.1f} times as far from the nearest real image as real ones are from each other",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Real:
    """Real images, and what made ones are divided by."""

    pixels_NCHW: NDArray[np.float64]
    contrast: float
    spread: float
    distance: float

    @classmethod
    def of(cls, pixels_NCHW: NDArray[np.float64]) -> _Real:
        return cls(
            pixels_NCHW=pixels_NCHW,
            contrast=_contrast(pixels_NCHW),
            spread=_spread(pixels_NCHW),
            distance=_distance(pixels_NCHW, None),
        )


def _compared(pixels_NCHW: NDArray[np.float64], real: _Real) -> ImageFigures:
    return ImageFigures(
        contrast=_relative(_contrast(pixels_NCHW), real.contrast),
        spread=_relative(_spread(pixels_NCHW), real.spread) if len(pixels_NCHW) >= ENOUGH_MADE else None,
        distance=_relative(_distance(pixels_NCHW, real.pixels_NCHW), real.distance),
    )


def _relative(generated: float, real: float) -> float | None:
    return generated / real if real > LEAST_REAL else None


def _contrast(pixels_NCHW: NDArray[np.float64]) -> float:
    """Return the mean deviation within an image and channel: one colour all over has none."""
    return float(pixels_NCHW.std(axis=(2, 3)).mean())


def _spread(pixels_NCHW: NDArray[np.float64]) -> float:
    """Return the mean deviation of a pixel between images."""
    return float(pixels_NCHW.std(axis=0).mean())


def _distance(pixels_NCHW: NDArray[np.float64], real_NCHW: NDArray[np.float64] | None) -> float:
    """Return the median Euclidean distance to the nearest real image, or where None are given to the nearest other."""
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a b is one product of matrices, and loses half of the digits.
    from_NP = pixels_NCHW.reshape(len(pixels_NCHW), -1)
    to_NP = from_NP if real_NCHW is None else real_NCHW.reshape(len(real_NCHW), -1)
    squared_NN = (from_NP**2).sum(axis=1)[:, None] + (to_NP**2).sum(axis=1) - 2 * from_NP @ to_NP.T
    if real_NCHW is None:
        if len(from_NP) == 1:
            return 0.0
        np.fill_diagonal(squared_NN, np.inf)
    return float(np.median(np.sqrt(squared_NN.min(axis=1).clip(min=0))))


def _evenly(indices: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return at most IMAGES_COMPARED of the indices, evenly spaced."""
    if len(indices) <= IMAGES_COMPARED:
        return indices
    return indices[np.linspace(0, len(indices) - 1, IMAGES_COMPARED).astype(np.intp)]


def _small(images: LabelledImages, indices: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the chosen images with values 0..1, averaged over areas; some at a time, since they may be large."""
    parts = np.array_split(indices, -(-len(indices) // READ_AT_ONCE))
    return np.concatenate([_averaged(np.asarray(images.images_NCHW[part])) for part in parts])


def _averaged(images_NCHW: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the means over blocks of as many rows and columns as leave 16 at most; the last block may be smaller."""
    averaged_NCHW = images_NCHW.astype(np.float64) / 255
    for axis in (2, 3):
        side = averaged_NCHW.shape[axis]
        begins_B = np.arange(0, side, -(-side // SIDE))
        shape = [1, 1, 1, 1]
        shape[axis] = len(begins_B)
        averaged_NCHW = np.add.reduceat(averaged_NCHW, begins_B, axis=axis) / np.diff([*begins_B, side]).reshape(shape)
    return averaged_NCHW
