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

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from balancebench import Balancer, BalancerError, LabelledImages, Origin, Parents, SynthesisContext
from balancebench.synthesis.fill import fill_classes
from balancebench.synthesis.target import missing_counts
from balancebench_imagegen.options import AugmentationOptions

__all__ = ["Augmentation", "Draws", "augment"]

INNER_SOLARIZE_PROBABILITY = 0.5  # torchvision's default of RandomSolarize
BATCH_PIXELS = 2**17  # of one channel: what the caches of a processor hold
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
        draws = cls(
            brightness_B=rng.uniform(max(0.0, 1 - brightness), 1 + brightness, count).astype(np.float32),
            hue_B=rng.uniform(-hue, hue, count).astype(np.float32),
            hue_first_B=rng.random(count) < 0.5,
            corners_B42=corners(size) + INWARDS * inwards_B42,
            degrees_B=rng.uniform(*options.rotation_degrees, count),
            solarized_B=rng.random(count) < options.solarize_probability,
        )
        if options.solarize_draws == "once":
            return draws
        return replace(draws, solarized_B=draws.solarized_B & (rng.random(count) < INNER_SOLARIZE_PROBABILITY))


INWARDS = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])


def corners(size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the corner pixels (x, y) of an image: top left, top right, bottom right, bottom left."""
    right, bottom = size[1] - 1.0, size[0] - 1.0
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]])


class Augmentation(Balancer[AugmentationOptions]):
    """Fills classes with augmented copies of their own images."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the augmented images, or None where no class is short of any.

        Raises BalancerError where a class that is to grow has no image.
        """
        missing_K = missing_counts(self.options.target, train)
        if not missing_K.any():
            return None
        device = torch.device(context.device)
        members_K = [np.flatnonzero(train.labels_N == label) for label in range(train.class_count)]
        size = train.images_NCHW.shape[2], train.images_NCHW.shape[3]
        if min(size) < 2:
            raise BalancerError(f"perspective needs images of at least 2x2 pixels; these have {size[1]}x{size[0]}")

        sources: list[NDArray[np.int64]] = []

        def make(labels_B: NDArray[np.int64]) -> NDArray[np.uint8]:
            sources_B = np.empty_like(labels_B)
            for label in np.unique(labels_B):
                chosen = labels_B == label
                sources_B[chosen] = context.rng.choice(members_K[label], int(chosen.sum()))
            sources.append(sources_B)
            draws = Draws.draw(context.rng, len(labels_B), size, self.options)
            images_BCHW = torch.from_numpy(train.images_NCHW[sources_B]).to(device)
            return augment(images_BCHW, draws, threshold=self.options.threshold_levels).cpu().numpy()

        pixels = BATCH_PIXELS if device.type == "cpu" else BATCH_PIXELS_CUDA
        filled = fill_classes(
            train,
            missing_K,
            make,
            batch_size=max(1, pixels // (size[0] * size[1])),
            progress=context.progress,
            origin=Origin.AUGMENTED,
        )
        return filled and replace(filled, parents=Parents.single(np.concatenate(sources)))


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
    threshold_B = np.where(draws.solarized_B, np.float32(threshold), np.float32(np.inf))
    inverted_BCHW = pixels_BCHW >= per_image(threshold_B)
    # Where inverted, 255 - x is x with all bits turned; torch.where takes twenty times as long on a processor.
    return pixels_BCHW.to(torch.uint8).bitwise_xor_(inverted_BCHW.view(torch.uint8).neg_())


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
    v - c * clip(2 - 6 d, 0, 1), with d the distance of (n + h - 2) / 6 to the nearest whole number, or
    v - 2 c + 6 c * clip(d, 1/6, 1/3).
    """
    red, green, blue = pixels_B3HW.split(1, dim=1)
    value = pixels_B3HW.amax(1, keepdim=True)
    span = value - pixels_B3HW.amin(1, keepdim=True)
    divisor = span.clamp(min=1)  # whole numbers: a span below 1 is 0, and then the numerators are 0 too
    # The largest channel chooses: lerp with a weight of 0 or 1 is exact, and quicker than torch.where.
    hue = (red - green).div_(divisor).add_(4)
    hue.lerp_((blue - red).div_(divisor).add_(2), (value == green).float())
    hue.lerp_((green - blue).div_(divisor), (value == red).float())
    offsets_B311 = turn_B111 + pixels_B3HW.new_tensor([3.0, 1.0, -1.0]).view(1, 3, 1, 1) / 6
    distance_B3HW = torch.add(offsets_B311, hue, alpha=1 / 6)
    distance_B3HW.sub_(distance_B3HW.round()).abs_().clamp_(1 / 6, 1 / 3)
    # A little is added so that no sum that should be a whole number falls just below it. 255.999 / 255 is torchvision's
    # conversion from 0..1 to uint8, which cuts off.
    base = torch.sub(value, span, alpha=2).add_(1e-4)
    return torch.addcmul(base, distance_B3HW, span, value=6).mul_(255.999 / 255).floor_()


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

    What was sampled, with zeros outside, is multiplied by the share that lies in the image, as torchvision does where
    `fill` is given: pixels at the edge are darkened twice.
    """
    rows, columns = pixels_BCHW.shape[2:]
    # To the coordinates of grid_sample, -1..1 from edge to edge: (x + 0.5) * 2 / columns - 1, where torchvision feeds
    # the map pixel centres x + 0.5 and takes what comes out for such centres.
    to_unit_33 = np.array([[2 / columns, 0, -1], [0, 2 / rows, -1], [0, 0, 1]])
    maps_B33 = to_unit_33 @ maps_B33
    device = pixels_BCHW.device
    depth_BHW = _linear(maps_B33[:, 2], rows, columns, device)
    grid_BHW2 = torch.empty((len(maps_B33), rows, columns, 2), device=device)
    for axis in range(2):
        torch.div(_linear(maps_B33[:, axis], rows, columns, device), depth_BHW, out=grid_BHW2[..., axis])
    sampled_BCHW = F.grid_sample(pixels_BCHW, grid_BHW2, mode="bilinear", padding_mode="zeros", align_corners=False)
    # The share of each sampled pixel that lies in the image, 1 but at its edges.
    half_2 = torch.tensor([columns / 2, rows / 2], device=device)
    inside_BHW2 = torch.addcmul(half_2 + 0.5, grid_BHW2.abs_(), half_2, value=-1).clamp_(0, 1)
    inside_B1HW = (inside_BHW2[..., 0] * inside_BHW2[..., 1]).unsqueeze_(1)
    return sampled_BCHW.mul_(inside_B1HW).round_()


def _rotate(pixels_BCHW: Tensor, degrees_B: NDArray[np.float64]) -> Tensor:
    """Sample the nearest pixels of images turned counter-clockwise about their centre, in one grid_sample."""
    rows, columns = pixels_BCHW.shape[2:]
    cosine_B, sine_B = np.cos(np.radians(degrees_B)), np.sin(np.radians(degrees_B))
    device = pixels_BCHW.device
    grid_BHW2 = torch.empty((len(degrees_B), rows, columns, 2), device=device)
    for axis, (along_x_B, along_y_B, side) in enumerate([(cosine_B, -sine_B, columns), (sine_B, cosine_B, rows)]):
        # Pixel centres are x + 0.5; the middle of the image stays where it is.
        constant_B = -(along_x_B * columns + along_y_B * rows) / 2
        terms_B3 = np.stack([along_x_B, along_y_B, constant_B], axis=1) * (2 / side)
        grid_BHW2[..., axis] = _linear(terms_B3, rows, columns, device)
    return F.grid_sample(pixels_BCHW, grid_BHW2, mode="nearest", padding_mode="zeros", align_corners=False)


def _linear(terms_B3: NDArray[np.float64], rows: int, columns: int, device: torch.device) -> Tensor:
    """Return a x + b y + c at every pixel centre (x, y), float32 (B, rows, columns); terms_B3 are a, b, c."""
    x_W, y_H = np.arange(columns) + 0.5, np.arange(rows) + 0.5
    along_x_BW = terms_B3[:, :1] * x_W
    along_y_BH = terms_B3[:, 1:2] * y_H + terms_B3[:, 2:]
    return (
        torch.from_numpy(along_x_BW.astype(np.float32)).to(device)[:, None, :]
        + torch.from_numpy(along_y_BH.astype(np.float32)).to(device)[:, :, None]
    )
