"""What methods know of a training set: how many images each class has, and what follows from that.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balancebench import BalancerError, LabelledImages

__all__ = [
    "DeviceVector",
    "class_counts_of",
    "effective_number_weights",
    "image_sampling_weights",
    "log_prior",
    "power_weights",
    "refuse_single_class",
]


class DeviceVector:
    """Values computed once with NumPy, held as float32 on the device that asks for them.

    They are copied when a device asks first: later steps of the training loop do not wait for a copy.
    """

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._values = np.array(values, dtype=np.float64)
        self._held: tuple[torch.device, Tensor] | None = None

    def on(self, device: torch.device) -> Tensor:
        """Return the values on `device`."""
        # Known by the device asked for, not by the tensor's own: "cuda" and "cuda:0" differ.
        if self._held is None or self._held[0] != device:
            # A tensor first made while predicting would be of no use in training.
            with torch.inference_mode(mode=False):
                self._held = device, torch.from_numpy(self._values).float().to(device)
        return self._held[1]


def refuse_single_class(train: LabelledImages) -> None:
    """Raise BalancerError where fewer than two classes have images."""
    present = np.flatnonzero(train.counts_K)
    if len(present) < 2:
        names = ", ".join(repr(train.class_names[label]) for label in present)
        raise BalancerError(f"only class {names} has images, and balancing needs two classes or more")


def class_counts_of(train: LabelledImages) -> NDArray[np.float64]:
    """Return the images of each class, float64 (K,), all of them 1 or more.

    Raises BalancerError where a class has no image (weights and priors would be infinite), or there is one class.
    """
    refuse_single_class(train)
    counts_K = train.counts_K
    if not counts_K.all():
        name = train.class_names[int(counts_K.argmin())]
        raise BalancerError(
            f"class {name!r} has no images, so it can have no weight, margin or prior: keep at least one image of it"
        )
    return counts_K.astype(np.float64)


def power_weights(counts_K: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Return weights n_c ** -exponent that sum to K: exponent 1 is inverse frequency, 1/2 inverse square root."""
    return _summing_to_class_count(counts_K**-exponent)


def effective_number_weights(counts_K: NDArray[np.float64], beta: float) -> NDArray[np.float64]:
    """Return class-balanced weights that sum to K (Cui et al. 2019, section 4).

        w_c = (1 - beta) / (1 - beta ** n_c)

    beta in 0..1. beta = 0 gives 1 everywhere. At beta = 1 numerator and denominator vanish; the limit is 1 / n_c, which
    is inverse frequency, and is what beta = 1 gives here.
    """
    if beta == 1:
        return power_weights(counts_K, 1.0)
    log_beta = math.log(beta) if beta > 0 else -math.inf
    # -expm1(n log beta) is 1 - beta ** n without cancellation where beta is close to 1.
    return _summing_to_class_count((1 - beta) / -np.expm1(counts_K * log_beta))


def _summing_to_class_count(weight_K: NDArray[np.float64]) -> NDArray[np.float64]:
    return weight_K * (len(weight_K) / weight_K.sum())


def log_prior(counts_K: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log(n_c / N), the logarithm of each class's share of the training set."""
    return np.log(counts_K / counts_K.sum())


def image_sampling_weights(
    labels_N: NDArray[np.int64], class_probability_K: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return weights of images, summing to 1, under which class c is drawn with probability class_probability_K[c].

    Within a class all images are alike. Every class has an image.
    """
    counts_K = np.bincount(labels_N, minlength=len(class_probability_K))
    share_K = class_probability_K / class_probability_K.sum() / counts_K
    return share_K[labels_N]
