"""Brings images of any size to one shape: the one definition for folders, pools and generators.

Pillow resizes, which filters before it samples down. What is drawn at random (margins, noise) depends on the image's
own pixels and a seed: neither on its neighbours in a batch, nor on how many there are, nor on their order.

Axis suffixes: H rows, W columns, C channels.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from balancebench.seeds import seed_for
from balancebench.synthesis.fit_options import FitOptions, Interpolation, Padding, SyntheticFitOptions

__all__ = ["fit_image", "fit_made_image", "pixels_CHW"]

FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def fit_image(image: Image.Image, size: tuple[int, int], options: FitOptions, seed: int = 0) -> Image.Image:
    """Return an RGB image at `size` (rows, columns); `seed` decides padding of noise and nothing else."""
    return _fitted(image, size, options, options.padding, seed)


def fit_made_image(image: Image.Image, size: tuple[int, int], options: SyntheticFitOptions, seed: int) -> Image.Image:
    """Return a made RGB image at `size` (rows, columns), with the margin, grey-scale and noise that it is to have."""
    rng = _numbers_of(image, seed)
    padding = options.padding
    if rng.random() < options.margin_probability:
        image = _cut(image, options, rng)
        padding = options.margin_padding or padding
    fitted = _fitted(image, size, options, padding, seed)
    if rng.random() < options.greyscale_probability:
        fitted = fitted.convert("L").convert("RGB")
    if options.noise_levels == 0:
        return fitted
    noisy_HWC = np.asarray(fitted) + rng.normal(0.0, options.noise_levels, (fitted.height, fitted.width, 3))
    return Image.fromarray(noisy_HWC.round().clip(0, 255).astype(np.uint8))


def pixels_CHW(image: Image.Image, channels: Literal[1, 3] | int) -> NDArray[np.uint8]:
    """Return an RGB image as uint8, in colour, or in grey by luma (ITU-R 601-2)."""
    if channels == 1:
        return np.asarray(image.convert("L"))[None]
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def _fitted(image: Image.Image, size: tuple[int, int], options: FitOptions, padding: Padding, seed: int) -> Image.Image:
    rows, columns = size
    resample = FILTERS[options.interpolation]
    width, height = image.size
    wide = width * rows >= height * columns  # at least as wide as the shape that it is to have
    if options.fit == "stretch":
        return image.resize((columns, rows), resample)
    if options.fit == "crop":
        kept_width, kept_height = (height * columns / rows, height) if wide else (width, width * rows / columns)
        left, top = (width - kept_width) / 2, (height - kept_height) / 2
        return image.resize((columns, rows), resample, box=(left, top, left + kept_width, top + kept_height))
    inner_width = columns if wide else max(1, round(width * rows / height))
    inner_height = max(1, round(height * columns / width)) if wide else rows
    inner = image.resize((inner_width, inner_height), resample)
    left, top = (columns - inner_width) // 2, (rows - inner_height) // 2
    canvas = _canvas(inner, size, (top, left), padding, options.fill, seed)
    canvas.paste(inner, (left, top))
    return canvas


def _canvas(
    inner: Image.Image,
    size: tuple[int, int],
    corner: tuple[int, int],
    padding: Padding,
    fill: tuple[int, int, int],
    seed: int,
) -> Image.Image:
    """Return what lies behind an image whose upper left corner is at `corner` (row, column)."""
    (rows, columns), (top, left) = size, corner
    match padding:
        case "fill":
            return Image.new("RGB", (columns, rows), fill)
        case "black" | "white":
            return Image.new("RGB", (columns, rows), (0, 0, 0) if padding == "black" else (255, 255, 255))
        case "mean":
            red, green, blue = np.asarray(inner).mean(axis=(0, 1)).round().astype(int).tolist()
            return Image.new("RGB", (columns, rows), (red, green, blue))
        case "reflect":
            below, right = rows - top - inner.height, columns - left - inner.width
            # "symmetric" repeats the edge once: a side of a single pixel has no other one to mirror.
            return Image.fromarray(np.pad(np.asarray(inner), ((top, below), (left, right), (0, 0)), mode="symmetric"))
        case "noise":
            return Image.fromarray(_numbers_of(inner, seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8))


def _cut(image: Image.Image, options: SyntheticFitOptions, rng: np.random.Generator) -> Image.Image:
    """Cut a random part from the top and the bottom, or from the left and the right."""
    share = float(rng.uniform(*options.margin_share))
    top_bottom = bool(rng.random() < 0.5) if options.margin_sides == "either" else options.margin_sides == "top_bottom"
    strip = round(share * (image.height if top_bottom else image.width))
    if top_bottom:
        strip = min(strip, (image.height - 1) // 2)
        return image.crop((0, strip, image.width, image.height - strip))
    strip = min(strip, (image.width - 1) // 2)
    return image.crop((strip, 0, image.width - strip, image.height))


def _numbers_of(image: Image.Image, seed: int) -> np.random.Generator:
    """Return the random numbers of one image: the same for the same pixels and seed."""
    digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
    return np.random.default_rng(seed_for("image fit", seed, digest))
