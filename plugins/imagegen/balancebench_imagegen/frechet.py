"""The Fréchet distance between two sets of images (Heusel et al. 2017), from features of Inception-v3 or from pixels.

    |mean_1 - mean_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))

With the centred features as rows of A (n x D) and B (m x D), each divided by the square root of its number less one,
S_1 = A'A and S_2 = B'B, and the trace of the root of S_1 S_2 is the sum of the singular values of A B': an n x m matrix
instead of a root of D x D ones, and exact where there are fewer images than features, as in one batch.

Axis suffixes: B, N, M images, C channels, H rows, W columns, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from balancebench_imagegen.inception_weights import inception_weights
from balancebench_imagegen.resize import to_channels

__all__ = ["Features", "frechet_distance", "load_features"]

Features = Callable[[Tensor], Tensor]
"""images_BCHW uint8 -> features_BD float64 on the CPU."""

PIXEL_SIDE = 8


def frechet_distance(first_ND: Tensor, second_MD: Tensor) -> float:
    """Return the Fréchet distance of two sets of features, each of at least two images."""
    first_ND, second_MD = first_ND.double(), second_MD.double()
    mean_first_D, mean_second_D = first_ND.mean(0), second_MD.mean(0)
    a_ND = (first_ND - mean_first_D) / (len(first_ND) - 1) ** 0.5
    b_MD = (second_MD - mean_second_D) / (len(second_MD) - 1) ** 0.5
    if not (torch.isfinite(a_ND).all() and torch.isfinite(b_MD).all()):
        return float("nan")
    root_trace = torch.linalg.svdvals(a_ND @ b_MD.T).sum()
    distance = (
        (mean_first_D - mean_second_D).square().sum() + a_ND.square().sum() + b_MD.square().sum() - 2 * root_trace
    )
    return max(0.0, float(distance))


def load_features(kind: Literal["inception", "pixels"], device: torch.device) -> Features:
    """Return the features of `kind`, computed on `device`.

    Raises BalancerError where the weights of Inception-v3 are not on this machine.
    """
    if kind == "pixels":
        return _pixels
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    weights = inception_weights()
    # The extractor unpickles the file; torch refuses here what holds anything but tensors.
    torch.load(weights, weights_only=True)
    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights))
    network.to(device).eval()

    def features(images_BCHW: Tensor) -> Tensor:
        return network(to_channels(images_BCHW, 3).contiguous())[0].cpu().double()

    return features


def _pixels(images_BCHW: Tensor) -> Tensor:
    small_BCHW = F.interpolate(
        images_BCHW.float(), (PIXEL_SIDE, PIXEL_SIDE), mode="bilinear", align_corners=False, antialias=True
    )
    return small_BCHW.flatten(1).cpu().double()
