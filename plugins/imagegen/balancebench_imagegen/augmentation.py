"""Augmentation as a balancer: the "non-synthetic data" of Asthana, Wagle and Singh.

Each new image is a real image of its class, drawn at random, sent through four transforms with parameters of its own:

    colour jitter    brightness times U(1 - b, 1 + b), hue turned by U(-h, h); which of the two comes first is drawn
    perspective      each corner moved inwards by up to d / 2 of the side; bilinear, black outside
    rotation         by U(a, b) degrees about the centre; nearest pixel, black outside
    solarize         with probability p, pixels at or above the threshold are inverted

This is torchvision's arithmetic (ColorJitter, RandomPerspective, RandomRotation, RandomSolarize on uint8 tensors, with
its rounding between the steps) for many images at once: torchvision's own transforms draw one set of parameters for a
whole batch. Parameters are drawn with NumPy, so that they are the same on every device.

Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from balancebench import (
    BalancerError,
    LabelledImages,
    Origin,
    Phase,
    PlanContext,
    SynthesisContext,
    TrainingPlan,
    concatenate,
)
from balancebench.synthesis.fill import fill_classes
from balancebench.synthesis.target import missing_counts
from balancebench_imagegen.options import AugmentationOptions

__all__ = ["Augmentation", "Draws", "augment"]

BATCH_PIXELS = 2**20  # of one channel: few enough calls for their cost not to count, and little memory
BATCH_PIXELS_CUDA = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """The parameters of each image of a batch.

    brightness_B, hue_B: factors as in torchvision. hue_first_B: hue before brightness. corners_B42: float64, where the
    corners (top left, top right, bottom right, bottom left; x, y in pixels) go. degrees_B: counter-clockwise.
    solarized_B: bool.
    """

    brightness_B: NDArray[np.float32]
    hue_B: NDArray[np.float32]
    hue_first_B: NDArray[np.bool_]
    corners_B42: NDArray[np.float64]
    degrees_B: NDArray[np.float64]
    solarized_B: NDArray[np.bool_]

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int, size: tuple[int, int], options: AugmentationOptions) -> Draws:
        """Draw the parameters of `count` images of `size` (rows, columns), distributed as torchvision's."""
        rows, columns = size
        brightness, hue = options.brightness, options.hue
        reach = [int(options.distortion * (side // 2)) for side in (columns, rows)]
        inwards_B42 = rng.integers(0, np.array(reach) + 1, (count, 4, 2))
        return cls(
            brightness_B=rng.uniform(max(0.0, 1 - brightness), 1 + brightness, count).astype(np.float32),
            hue_B=rng.uniform(-hue, hue, count).astype(np.float32),
            hue_first_B=rng.random(count) < 0.5,
            corners_B42=corners(size) + INWARDS * inwards_B42,
            degrees_B=rng.uniform(*options.rotation_degrees, count),
            solarized_B=rng.random(count) < options.solarize_probability,
        )


INWARDS = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])


def corners(size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the corner pixels (x, y) of an image: top left, top right, bottom right, bottom left."""
    right, bottom = size[1] - 1.0, size[0] - 1.0
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]])


class Augmentation:
    """Fills classes with augmented copies of their own images."""

    def __init__(self, options: AugmentationOptions) -> None:
        self._options = options

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the augmented images, or None where no class is short of any.

        Raises BalancerError where a class that is to grow has no image.
        """
        missing_K = missing_counts(self._options.target, train)
        if not missing_K.any():
            return None
        device = torch.device(context.device)
        members_K = [np.flatnonzero(train.labels_N == label) for label in range(train.class_count)]
        size = train.images_NCHW.shape[2], train.images_NCHW.shape[3]
        if min(size) < 2:
            raise BalancerError(f"perspective needs images of at least 2x2 pixels; these have {size[1]}x{size[0]}")

        def make(labels_B: NDArray[np.int64]) -> NDArray[np.uint8]:
            sources_B = np.empty_like(labels_B)
            for label in np.unique(labels_B):
                chosen = labels_B == label
                sources_B[chosen] = context.rng.choice(members_K[label], int(chosen.sum()))
            draws = Draws.draw(context.rng, len(labels_B), size, self._options)
            images_BCHW = torch.from_numpy(train.images_NCHW[sources_B]).to(device)
            return augment(images_BCHW, draws, threshold=self._options.threshold_levels).cpu().numpy()

        pixels = BATCH_PIXELS if device.type == "cpu" else BATCH_PIXELS_CUDA
        return fill_classes(
            train,
            missing_K,
            make,
            batch_size=max(1, pixels // (size[0] * size[1])),
            progress=context.progress,
            origin=Origin.AUGMENTED,
        )

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Train on `train` and the augmented images together."""
        images = train if synthetic is None else concatenate([train, synthetic])
        return TrainingPlan(phases=(Phase(images=images),))


@torch.no_grad()
def augment(images_BCHW: Tensor, draws: Draws, *, threshold: float) -> Tensor:
    """Return uint8 images after the four transforms; `threshold` of solarize in levels of 0..255."""
    device = images_BCHW.device
    size = images_BCHW.shape[2], images_BCHW.shape[3]

    def per_image(values_B: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values_B).to(device).view(-1, 1, 1, 1)

    # Between the steps, pixels are whole numbers of 0..255 in float32: torchvision goes back to uint8 after each.
    pixels_BCHW = _jitter(images_BCHW.float(), per_image(draws.brightness_B), per_image(draws.hue_B), draws.hue_first_B)
    pixels_BCHW = _warp_perspective(pixels_BCHW, _homographies(draws.corners_B42, size))
    pixels_BCHW = _rotate(pixels_BCHW, draws.degrees_B)
    made_BCHW = pixels_BCHW.to(torch.uint8)
    # A whole number is at least the threshold where it is at least the next whole number; 256 is above every level.
    least_B = np.where(draws.solarized_B, math.ceil(threshold), 256).astype(np.int16)
    return torch.where(made_BCHW >= per_image(least_B), ~made_BCHW, made_BCHW)


def _jitter(pixels_BCHW: Tensor, brightness_B111: Tensor, hue_B111: Tensor, hue_first_B: NDArray[np.bool_]) -> Tensor:
    """Brightness and hue, in the order drawn for each image; a grey image has no hue."""
    if pixels_BCHW.shape[1] == 1:
        return _brighten(pixels_BCHW, brightness_B111)
    first_B111 = torch.from_numpy(hue_first_B).to(pixels_BCHW.device).view(-1, 1, 1, 1)
    # Factor 1 leaves an image as it is: each image is brightened once, before or after its hue is turned.
    pixels_BCHW = _brighten(pixels_BCHW, torch.where(first_B111, 1.0, brightness_B111))
    pixels_BCHW = _turn_hue(pixels_BCHW, hue_B111)
    return _brighten(pixels_BCHW, torch.where(first_B111, brightness_B111, 1.0))


def _brighten(pixels_BCHW: Tensor, factor_B111: Tensor) -> Tensor:
    return (pixels_BCHW * factor_B111).clamp_(max=255).floor_()


def _turn_hue(pixels_B3HW: Tensor, turn_B111: Tensor) -> Tensor:
    """Turn the hue of RGB images by `turn` of a full circle, through HSV.

    With v the largest and c the span of the three channels and h the hue in sixths of the circle, channel n is
    v - c * max(0, min(k, 4 - k, 1)), where k = (n + h) mod 6 and n = 5, 3, 1 for red, green, blue. That is
    v - c * clip(2 - 6 d), with d the distance of (n + h - 2) / 6 to the nearest whole number.
    """
    red, green, blue = pixels_B3HW.split(1, dim=1)
    value = pixels_B3HW.amax(1, keepdim=True)
    span = value - pixels_B3HW.amin(1, keepdim=True)
    divisor = span.clamp(min=1)  # whole numbers: a span below 1 is 0, and then the numerators are 0 too
    hue = torch.where(
        value == red,
        (green - blue).div_(divisor),
        torch.where(value == green, (blue - red).div_(divisor).add_(2), (red - green).div_(divisor).add_(4)),
    )
    offsets_B311 = turn_B111 + pixels_B3HW.new_tensor([3.0, 1.0, -1.0]).view(1, 3, 1, 1) / 6
    distance_B3HW = torch.add(offsets_B311, hue, alpha=1 / 6)
    distance_B3HW.sub_(distance_B3HW.round()).abs_()
    share_B3HW = distance_B3HW.mul_(-6).add_(2).clamp_(0, 1)
    # 255.999 / 255: torchvision's conversion from 0..1 to uint8, which cuts off.
    return torch.addcmul(value, share_B3HW, span, value=-1).mul_(255.999 / 255).floor_()


def _homographies(corners_B42: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the (B, 3, 3) maps from the pixels of the new image to those of the old one.

    They send each moved corner back to its place: x = (a x' + b y' + c) / (g x' + h y' + 1), and so y, are eight linear
    equations for a to h.
    """
    count = len(corners_B42)
    old_42, new_x_B4, new_y_B4 = corners(size), corners_B42[:, :, 0], corners_B42[:, :, 1]
    equations_B88 = np.zeros((count, 8, 8))
    for axis in range(2):
        rows = slice(4 * axis, 4 * axis + 4)
        equations_B88[:, rows, 3 * axis] = new_x_B4
        equations_B88[:, rows, 3 * axis + 1] = new_y_B4
        equations_B88[:, rows, 3 * axis + 2] = 1
        equations_B88[:, rows, 6] = -old_42[:, axis] * new_x_B4
        equations_B88[:, rows, 7] = -old_42[:, axis] * new_y_B4
    right_B81 = np.broadcast_to(old_42.T.reshape(1, 8, 1), (count, 8, 1))
    solved_B8 = np.linalg.solve(equations_B88, right_B81)[:, :, 0]
    return np.concatenate([solved_B8, np.ones((count, 1))], axis=1).reshape(count, 3, 3).astype(np.float64)


def _warp_perspective(pixels_BCHW: Tensor, maps_B33: NDArray[np.float64]) -> Tensor:
    """Sample bilinearly at the mapped pixel centres, in one grid_sample; black outside.

    A channel of ones is sampled along and multiplies the result, as torchvision does where `fill` is given: pixels at
    the edge are darkened twice.
    """
    rows, columns = pixels_BCHW.shape[2:]
    # To the coordinates of grid_sample, -1..1 from edge to edge: (x + 0.5) * 2 / columns - 1, where torchvision feeds
    # the map pixel centres x + 0.5 and takes what comes out for such centres.
    to_unit_33 = np.array([[2 / columns, 0, -1], [0, 2 / rows, -1], [0, 0, 1]])
    maps = torch.from_numpy((to_unit_33 @ maps_B33).astype(np.float32)).to(pixels_BCHW.device)
    centres_P3 = _pixel_centres(rows, columns, pixels_BCHW.device, about_middle=False)
    mapped_BP3 = centres_P3 @ maps.transpose(1, 2)
    grid_BHW2 = (mapped_BP3[..., :2] / mapped_BP3[..., 2:]).view(-1, rows, columns, 2)
    with_ones_BCHW = F.pad(pixels_BCHW, (0, 0, 0, 0, 0, 1), value=1.0)
    sampled_BCHW = F.grid_sample(with_ones_BCHW, grid_BHW2, mode="bilinear", padding_mode="zeros", align_corners=False)
    return (sampled_BCHW[:, :-1] * sampled_BCHW[:, -1:]).round_()


def _rotate(pixels_BCHW: Tensor, degrees_B: NDArray[np.float64]) -> Tensor:
    """Sample the nearest pixels of images turned counter-clockwise about their centre, in one grid_sample."""
    rows, columns = pixels_BCHW.shape[2:]
    cosine_B, sine_B = np.cos(np.radians(degrees_B)), np.sin(np.radians(degrees_B))
    turns_B22 = np.stack([np.stack([cosine_B, -sine_B], -1), np.stack([sine_B, cosine_B], -1)], 1)
    scaled_B22 = turns_B22 * np.array([[2 / columns], [2 / rows]])
    maps = torch.from_numpy(scaled_B22.astype(np.float32)).to(pixels_BCHW.device)
    centres_P2 = _pixel_centres(rows, columns, pixels_BCHW.device, about_middle=True)[:, :2]
    grid_BHW2 = (centres_P2 @ maps.transpose(1, 2)).view(-1, rows, columns, 2)
    return F.grid_sample(pixels_BCHW, grid_BHW2, mode="nearest", padding_mode="zeros", align_corners=False)


def _pixel_centres(rows: int, columns: int, device: torch.device, *, about_middle: bool) -> Tensor:
    """Return (x, y, 1) of every pixel centre, float32 (rows * columns, 3), from the corner or from the middle."""
    y_H = torch.arange(rows, dtype=torch.float32, device=device) + 0.5
    x_W = torch.arange(columns, dtype=torch.float32, device=device) + 0.5
    if about_middle:
        y_H, x_W = y_H - rows / 2, x_W - columns / 2
    y_HW, x_HW = torch.meshgrid(y_H, x_W, indexing="ij")
    return torch.stack([x_HW, y_HW, torch.ones_like(x_HW)], dim=-1).view(-1, 3)
