"""Class-conditional diffusion as Karras, Aittala, Aila and Laine designed it (EDM, NeurIPS 2022), with guidance.

With pixels x in -1..1 of standard deviation d, noise of level s and the network F, an image is denoised by

    D(x; s, y) = c_skip x + c_out F(c_in x; ln(s) / 4, y)
    c_skip = d^2 / (s^2 + d^2),  c_out = s d / sqrt(s^2 + d^2),  c_in = 1 / sqrt(s^2 + d^2)           (their table 1)

and trained to minimise w |D(x + s n; s, y) - x|^2 with w = (s^2 + d^2) / (s d)^2 and ln s ~ N(-1.2, 1.2^2). Labels are
those of the data, a tenth of them hidden; with guidance g an image is denoised by D_none + g (D_y - D_none) (Ho and
Salimans 2021). Images come from Heun's method over s_i = (80^(1/7) + i/(N-1) (0.002^(1/7) - 80^(1/7)))^7, then 0, in
float64 (their algorithm 1). F is diffusers' U-Net instead of DDPM++. With `augmentation` images are changed, and F is
told how (`edm_augmentation`), by numbers added where diffusers adds the class, behind the layers that embed the time.

Axis suffixes: N training images, B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from balancebench import LabelledImages, SynthesisContext
from balancebench.synthesis.generator_balancer import GeneratorBalancer
from balancebench.synthesis.seeded_run import seeded_run
from balancebench_gmaug.diffusion_drawing import (
    DiffusionGenerator,
    Learnt,
    NoiseStreams,
    check_classes,
    restored_network,
    with_guidance,
)
from balancebench_gmaug.diffusion_network import LabelledUNet, Network
from balancebench_gmaug.diffusion_options import shape_of
from balancebench_gmaug.diffusion_training import Loss, drop_labels, train_network
from balancebench_gmaug.edm_augmentation import Changes, changed
from balancebench_gmaug.edm_options import EdmOptions

__all__ = ["Edm", "Scaling", "denoised", "edm_loss", "guided", "heun", "noise_levels", "scaling"]

LARGEST_LEVEL, SMALLEST_LEVEL, RHO = 80.0, 0.002, 7.0
LEVEL_MEAN, LEVEL_DEVIATION = -1.2, 1.2
LEAST_DEVIATION = 0.05  # a set of one flat colour has none, and everything is divided by it
READ_AT_ONCE = 4096


class Edm(GeneratorBalancer[EdmOptions]):
    """Fills classes with images of one diffusion model of all classes."""

    def train_generator(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Keep curves.json, generator.json, and the moving average of the weights in generator.safetensors.

        Raises BalancerError where a class has no images, where images are too large or fewer than a
        batch, and where training diverges.
        """
        options = self.options
        check_classes(train)
        channels, rows, columns = train.images_NCHW.shape[1:]
        shape = shape_of(options.preset, rows, columns)
        deviation = _pixel_deviation(train) if options.sigma_data == "images" else options.sigma_data
        with seeded_run(context) as random:
            network = LabelledUNet(
                shape, channels, train.class_count, options.dropout, augmentation_labels=options.augmentation_labels
            )
            loss = edm_loss(
                deviation, network.null_label, options.label_dropout, context.precision, options.augmentation
            )
            train_network(
                network,
                loss,
                train,
                options.recipe,
                context,
                random,
                divisor=shape.divisor,
                mirror=options.mirror,
            )
        Learnt.of(train, context, pixel_deviation=deviation).save(context.artefacts, network)

    def restore_generator(self, folder: Path, device: str) -> DiffusionGenerator:
        """Return the generator in evaluation mode."""
        learnt, options = Learnt.read(folder), self.options
        network, unet_shape = restored_network(
            folder, learnt, options.preset, torch.device(device), augmentation_labels=options.augmentation_labels
        )
        _, rows, columns = learnt.image_shape
        levels = noise_levels(options.levels(rows, columns))

        def sample(labels_B: Tensor, noise: NoiseStreams, shape: tuple[int, int, int]) -> Tensor:
            denoise = guided(network, labels_B, network.null_label, learnt, options)
            return heun(denoise, noise.normal(shape), levels)

        return DiffusionGenerator(learnt, sample, unet_shape.divisor)


class Scaling(NamedTuple):
    """What an image of noise level s is scaled by, and the weight of its loss."""

    skip: Tensor
    out: Tensor
    into: Tensor
    weight: Tensor


def scaling(level: Tensor, deviation: float) -> Scaling:
    """Return c_skip, c_out, c_in and w of noise levels, of their shape."""
    total = (level**2 + deviation**2).sqrt()
    return Scaling((deviation / total) ** 2, level * deviation / total, 1 / total, (total / (level * deviation)) ** 2)


def denoised(
    network: Network,
    noisy_BCHW: Tensor,
    level_B: Tensor,
    labels_B: Tensor,
    deviation: float,
    precision: Literal["fp32", "bf16"],
    augmentation_BL: Tensor | None = None,
) -> Tensor:
    """Return D of float32 images, float32. The network alone runs in bf16; what scales around it would lose pixels.

    augmentation_BL: what was changed of the images; None: nothing.
    """
    told = (labels_B,) if augmentation_BL is None else (labels_B, augmentation_BL)
    scales = scaling(level_B[:, None, None, None], deviation)
    with torch.autocast(noisy_BCHW.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        predicted_BCHW = network(scales.into * noisy_BCHW, level_B.log() / 4, *told)
    return scales.skip * noisy_BCHW + scales.out * predicted_BCHW.float()


def edm_loss(
    deviation: float,
    null_label: int,
    label_dropout: float,
    precision: Literal["fp32", "bf16"],
    augmentation: float = 0.0,
) -> Loss[LabelledUNet]:
    """Return the loss of a batch: the mean over its pixels of w (D - x)^2. augmentation: p, 0: images as they are."""

    def loss(network: Network, images_BCHW: Tensor, labels_B: Tensor, random: Generator) -> Tensor:
        device = images_BCHW.device
        augmentation_BL = None
        if augmentation > 0:
            changes = Changes.draw(len(images_BCHW), augmentation, random)
            images_BCHW, augmentation_BL = changed(images_BCHW, changes), changes.labels_BL
        normal_B = torch.randn(len(images_BCHW), generator=random, device=device)
        level_B = (LEVEL_MEAN + LEVEL_DEVIATION * normal_B).exp()
        noise_BCHW = torch.randn(images_BCHW.shape, generator=random, device=device)
        seen_B = drop_labels(labels_B, null_label, label_dropout, random)
        noisy_BCHW = images_BCHW + level_B[:, None, None, None] * noise_BCHW
        denoised_BCHW = denoised(network, noisy_BCHW, level_B, seen_B, deviation, precision, augmentation_BL)
        weight_B = scaling(level_B, deviation).weight
        return (weight_B * (denoised_BCHW - images_BCHW).square().mean(dim=(1, 2, 3))).mean()

    return loss


def guided(
    network: Network, labels_B: Tensor, null_label: int, learnt: Learnt, options: EdmOptions
) -> Callable[[Tensor, float], Tensor]:
    """Return what denoises images_BCHW of one noise level; with guidance where the options want some."""

    def plain(noisy_BCHW: Tensor, level: float, labels_B: Tensor) -> Tensor:
        level_B = torch.full((len(noisy_BCHW),), level, device=noisy_BCHW.device)
        denoised_BCHW = denoised(
            network, noisy_BCHW.float(), level_B, labels_B, learnt.pixel_deviation, learnt.precision
        )
        return denoised_BCHW.to(noisy_BCHW.dtype)

    def denoise(noisy_BCHW: Tensor, level: float) -> Tensor:
        scale = options.guidance if options.guidance_from <= level <= options.guidance_to else 1.0
        return with_guidance(
            lambda images_BCHW, of_B: plain(images_BCHW, level, of_B), noisy_BCHW, labels_B, null_label, scale
        )

    return denoise


def noise_levels(count: int) -> list[float]:
    """Return so many levels from 80 down to 0.002, then 0."""
    shares = np.arange(count) / (count - 1)
    first, last = LARGEST_LEVEL ** (1 / RHO), SMALLEST_LEVEL ** (1 / RHO)
    return [*((first + shares * (last - first)) ** RHO).tolist(), 0.0]


def heun(denoise: Callable[[Tensor, float], Tensor], noise_BCHW: Tensor, levels: list[float]) -> Tensor:
    """Return images_BCHW from standard normal noise along `levels`, the last of which is 0; in the noise's dtype."""
    state_BCHW = noise_BCHW * levels[0]
    for level, lower in pairwise(levels):
        slope_BCHW = (state_BCHW - denoise(state_BCHW, level)) / level
        euler_BCHW = state_BCHW + (lower - level) * slope_BCHW
        if lower == 0:
            return euler_BCHW
        slope_there_BCHW = (euler_BCHW - denoise(euler_BCHW, lower)) / lower
        state_BCHW = state_BCHW + (lower - level) * (slope_BCHW + slope_there_BCHW) / 2
    return state_BCHW


def _pixel_deviation(train: LabelledImages) -> float:
    """Return the standard deviation of all pixels in -1..1, from a histogram of the 256 levels."""
    histogram = np.zeros(256, dtype=np.int64)
    for begin in range(0, len(train), READ_AT_ONCE):
        pixels = np.asarray(train.images_NCHW[begin : begin + READ_AT_ONCE])
        histogram += np.bincount(pixels.ravel(), minlength=256)
    levels = np.arange(256) * 2 / 255 - 1
    mean = np.average(levels, weights=histogram)
    return max(LEAST_DEVIATION, float(np.sqrt(np.average((levels - mean) ** 2, weights=histogram))))
