"""Which snapshot of a generator is best: the one whose images lie closest to the kept ones, by the Frechet distance.

The images judged are made from the same noise and labels at every snapshot, labels as frequent as in the data. So the
distances of one run compare; those of runs with other numbers of images do not.

Axis suffixes: N kept images, M made ones, B images of a batch, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from balancebench.synthesis.frechet import Moments, frechet_distance, moments_of
from balancebench.synthesis.inception import load_inception

__all__ = ["Features", "SnapshotJudge", "load_features"]

Features = Callable[[Tensor], Tensor]
"""images_BCHW uint8 on the device -> features_BD float32 there."""

AT_ONCE = 256
PIXEL_SIDE = 8


def load_features(kind: Literal["inception", "pixels"], device: torch.device) -> Features:
    """Return the features of `kind`; raises DataError where the weights of Inception-v3 are not on this machine."""
    return _pixels if kind == "pixels" else load_inception(device)


def _pixels(images_BCHW: Tensor) -> Tensor:
    small_BCHW = F.interpolate(
        images_BCHW.float(), (PIXEL_SIDE, PIXEL_SIDE), mode="bilinear", align_corners=False, antialias=True
    )
    return small_BCHW.flatten(1)


class SnapshotJudge:
    """Measures the distance of what a generator makes to the kept images.

    make: labels_B, random -> images_BCHW uint8. seed: of the noise and the labels.
    """

    def __init__(
        self, features: Features, images_NCHW: Tensor, labels_N: Tensor, *, judged_images: int, seed: int
    ) -> None:
        self._features = features
        self._seed = seed
        random = self._random(images_NCHW.device)
        chosen_M = torch.randint(len(labels_N), (judged_images,), generator=random, device=random.device)
        self._labels_M = labels_N.index_select(0, chosen_M)
        self._kept = self._moments(images_NCHW.split(AT_ONCE))

    @torch.no_grad()
    def distance(self, make: Callable[[Tensor, torch.Generator], Tensor]) -> float:
        """Return the distance; NaN where a feature is not finite."""
        random = self._random(self._labels_M.device)
        return frechet_distance(
            self._kept, self._moments(make(labels_B, random) for labels_B in self._labels_M.split(AT_ONCE))
        )

    def _moments(self, batches: Iterable[Tensor]) -> Moments:
        features = [self._features(images_BCHW).float().cpu().numpy() for images_BCHW in batches]
        return moments_of(np.concatenate(features))

    def _random(self, device: torch.device) -> torch.Generator:
        return torch.Generator(device=device).manual_seed(self._seed)
