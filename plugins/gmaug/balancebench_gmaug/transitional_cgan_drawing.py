"""How a trained generator of `transitional_cgan` makes images.

Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balancebench import BalancerError
from balancebench.synthesis.seeded_run import from_unit_range
from balancebench_gmaug.stylegan2 import Generator

__all__ = ["TrainedGenerator", "cut_to", "made_images"]


@torch.no_grad()
def made_images(generator: Generator, labels_B: Tensor, random: torch.Generator, *, truncation: float = 1.0) -> Tensor:
    """Return images_BCHW uint8 of the side that the network works at, labels counting in full.

    truncation: 1 leaves every w where it is, 0 moves all to their mean.
    """
    noise_BD = torch.randn((len(labels_B), generator.latent_size), generator=random, device=random.device)
    w_BLD = generator.latents(noise_BD, labels_B, torch.ones((), device=random.device))
    if truncation < 1:
        w_BLD = torch.lerp(generator.mapping.mean_D.expand_as(w_BLD), w_BLD, truncation)
    return from_unit_range(generator.synthesis(w_BLD, generator.noise(len(labels_B), random)).images_BCHW)


def cut_to(images_BCHW: Tensor, height: int, width: int) -> Tensor:
    """Return the middle of the images: what was there before they were padded."""
    top, left = (images_BCHW.shape[2] - height) // 2, (images_BCHW.shape[3] - width) // 2
    return images_BCHW[:, :, top : top + height, left : left + width]


class TrainedGenerator:
    """The generator, its weights at rest. unlearnt: label -> name of the classes that had no training images."""

    def __init__(
        self, network: Generator, image_size: tuple[int, int], unlearnt: Mapping[int, str], *, truncation: float
    ) -> None:
        self._network = network
        self._image_size = image_size
        self._unlearnt = unlearnt
        self._truncation = truncation

    def draw(self, labels_B: NDArray[np.int64], random: torch.Generator) -> NDArray[np.uint8]:
        """Return images_BCHW; raise BalancerError where a class had no images to learn from."""
        for label, name in self._unlearnt.items():
            if label in labels_B:
                raise BalancerError(
                    f"class {name!r} had no images for the GAN to learn from: keep some of it, or give a target table "
                    "without it"
                )
        labels = torch.from_numpy(np.array(labels_B)).to(random.device)
        images_BCHW = made_images(self._network, labels, random, truncation=self._truncation)
        return cut_to(images_BCHW, *self._image_size).cpu().numpy()
