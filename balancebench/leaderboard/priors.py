"""Scores under another prior of the test classes, and logits moved to it.

A test set says how often each class is predicted rightly; how often it will occur is for the reader to say.
Axis suffixes: N test images, K classes, L priors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FEWEST_EFFECTIVE_IMAGES",
    "GRID",
    "class_weights",
    "corrected_predictions",
    "effective_images",
    "precision_of_classes",
    "prior_grid",
]

GRID = (0.0, 0.25, 0.5, 0.75, 1.0)
FEWEST_EFFECTIVE_IMAGES = 100.0  # below there is no interval

Floats = NDArray[np.float64]


def class_weights(prior_K: Floats) -> Floats:
    """Return the prior as weights of the classes' recalls, float64 (K,), sum 1: accuracy under it is their mean.

    prior_K: >= 0, in any scale; a class of 0 is dropped. Raises ValueError where it is all 0, negative or not finite.
    """
    total = float(prior_K.sum())
    if not np.isfinite(prior_K).all() or (prior_K < 0).any() or total <= 0:
        raise ValueError("a prior has a finite share >= 0 for every class, and one that is above 0")
    return prior_K / total


def prior_grid(train_counts_K: NDArray[np.integer[Any]]) -> Floats:
    """Return the priors that are offered, float64 (6, K): from uniform to the training set's, and that one reversed.

    The first five are g train + (1 - g) uniform with g of `GRID`; reversed: the largest class as rare as the smallest.
    """
    train_K = class_weights(train_counts_K.astype(np.float64))
    uniform_K = np.full(len(train_K), 1 / len(train_K))
    order_K = np.argsort(train_K, kind="stable")
    reversed_K = np.empty_like(train_K)
    reversed_K[order_K] = train_K[order_K[::-1]]
    return np.stack([*(share * train_K + (1 - share) * uniform_K for share in GRID), reversed_K])


def effective_images(prior_K: Floats, counts_K: NDArray[np.int64]) -> float:
    """Return 1 / sum_k (w_k^2 / N_k): how many images of the prior's own mix would tell as much.

    counts_K: test images; 0 where a class that the prior names has none.
    """
    weights_K = class_weights(prior_K)
    named_K = weights_K > 0
    if (counts_K[named_K] == 0).any():
        return 0.0
    return float(1 / np.sum(weights_K[named_K] ** 2 / counts_K[named_K]))


def precision_of_classes(confusion_KK: NDArray[np.int64], prior_K: Floats) -> Floats:
    """Return P(true class j | predicted j) under a prior, float64 (K,); NaN of a class that is never predicted.

    confusion_KK: test images with the true class along rows; a class without images takes part with 0.
    """
    counts_K = confusion_KK.sum(axis=1)
    shares_KK = confusion_KK / np.maximum(counts_K, 1)[:, None] * class_weights(prior_K)[:, None]
    predicted_K = shares_KK.sum(axis=0)
    return np.divide(shares_KK.diagonal(), predicted_K, out=np.full(len(counts_K), np.nan), where=predicted_K > 0)


def corrected_predictions(
    logits_NK: NDArray[np.floating[Any]], implied_K: Floats, prior_K: Floats
) -> NDArray[np.int64]:
    """Return argmax_k(z_k + log prior_k - log implied_k), int64 (N,): predictions moved to another prior.

    implied_K: the prior that a row's logits imply, such as the training set's of plain training, uniform of balanced
    losses; > 0 everywhere (Saerens, Latinne & Decaestecker 2002). A class of prior 0 is never predicted.
    """
    with np.errstate(divide="ignore"):
        shift_K = np.log(class_weights(prior_K)) - np.log(class_weights(implied_K))
    return (logits_NK.astype(np.float64) + shift_K).argmax(axis=1).astype(np.int64)
