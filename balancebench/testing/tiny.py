"""Made-up training sets and evaluations, small enough for a check of a fraction of a second.

Axis suffixes: N images, C channels, H rows, W columns, K classes, D features.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.config import JSON
from balancebench.data import LabelledImages, Origin, concatenate
from balancebench.evaluation import Cost, Evaluation, EvaluationImages, SubsetEvaluation

__all__ = ["FixedProjection", "tiny_evaluation", "tiny_subset_evaluation", "tiny_training_set"]

PATTERN_LEVELS = 3  # grey levels by which a class's rows stand out
NOISE_LEVELS = 10


def tiny_training_set(
    counts: Sequence[int] = (40, 10, 2), *, channels: int = 1, height: int = 16, width: int = 16, seed: int = 0
) -> LabelledImages:
    """Return counts[k] images of class k, in mixed order, uint8, all of origin REAL; every array is read-only.

    An image has a brightness of its own, noise, and some rows a little brighter that tell its class: a linear
    classifier can learn them, while an image's nearest neighbours in pixels are of all classes.
    """
    rng = np.random.default_rng([seed, *counts, channels, height, width])
    labels_N = rng.permutation(np.repeat(np.arange(len(counts), dtype=np.int64), counts))
    brightness_N = rng.uniform(30, 200, len(labels_N))
    rows_H = np.arange(height) * len(counts) // height
    pattern_NH = PATTERN_LEVELS * (rows_H[None] == labels_N[:, None])
    noise_NCHW = rng.normal(0, NOISE_LEVELS, (len(labels_N), channels, height, width))
    levels_NCHW = brightness_N[:, None, None, None] + pattern_NH[:, None, :, None] + noise_NCHW
    images = LabelledImages(
        images_NCHW=levels_NCHW.clip(0, 255).astype(np.uint8),
        labels_N=labels_N,
        class_names=tuple(f"class {label}" for label in range(len(counts))),
    )
    return _read_only(images)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedProjection:
    """An extractor without training: D = 4 + K features, sums of pixels with fixed random weights."""

    class_count: int

    def features(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return features_ND."""
        pixels_NP = images_NCHW.reshape(len(images_NCHW), -1) / 255
        pixel_count = int(np.prod(images_NCHW.shape[1:]))
        weights_PD = np.random.default_rng(0).normal(0, pixel_count**-0.5, (pixel_count, 4 + self.class_count))
        return (pixels_NP @ weights_PD).astype(np.float32)

    def predict_logits(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits_NK: the first K features."""
        return self.features(images_NCHW)[:, : self.class_count]

    def save(self, folder: Path) -> None:
        """Write nothing: it has nothing to remember."""


def _read_only(images: LabelledImages) -> LabelledImages:
    for array in (images.images_NCHW, images.labels_N, images.origins_N):
        array.setflags(write=False)
    return images


def _tiny_images(test_labels_N: NDArray[np.int64], train_counts_K: NDArray[np.int64], seed: int) -> EvaluationImages:
    """Return images as after a balancer that filled every class up to the largest with images of its own making."""
    missing = (train_counts_K.max(initial=0) - train_counts_K).tolist()
    class_count = len(missing)

    @cache
    def kept() -> LabelledImages:
        return tiny_training_set(train_counts_K.tolist(), seed=seed + 1)

    @cache
    def full_train() -> LabelledImages:
        return _read_only(concatenate([kept(), tiny_training_set(missing, seed=seed + 2)]))

    @cache
    def synthetic() -> LabelledImages | None:
        return _synthetic_images(missing, seed + 3) if any(missing) else None

    @cache
    def test() -> LabelledImages:
        drawn = tiny_training_set(np.bincount(test_labels_N, minlength=class_count).tolist(), seed=seed + 4)
        rank_N = np.argsort(np.argsort(test_labels_N, kind="stable"))
        return _read_only(drawn.take(np.argsort(drawn.labels_N, kind="stable")[rank_N]))

    return EvaluationImages(
        synthetic=synthetic,
        kept=kept,
        full_train=full_train,
        test=test,
        used_withheld_data=False,
        extractor=lambda: FixedProjection(class_count=class_count),
        device="cpu",
        draw=lambda counts_K: _synthetic_images(counts_K.tolist(), seed + 5),
        extractor_key=f"fixed projection to {class_count} classes",
        cached=_computed_for_an_empty_store,
    )


def _synthetic_images(counts: Sequence[int], seed: int) -> LabelledImages:
    drawn = tiny_training_set(counts, seed=seed)
    return _read_only(drawn.take(np.arange(len(drawn)), origin=Origin.SYNTHETIC))


def _computed_for_an_empty_store(_name: str, identity: JSON, compute: Callable[[], NDArray[Any]], /) -> NDArray[Any]:
    """Compute as a store does that has nothing yet: the identity must be JSON, and the array is read-only."""
    json.dumps(identity, allow_nan=False)
    computed = compute()
    computed.setflags(write=False)
    return computed


def tiny_evaluation(
    test_counts: Sequence[int] = (30, 20, 10),
    *,
    train_counts: Sequence[int] | None = None,
    hit_rate: float = 0.7,
    seed: int = 0,
) -> Evaluation:
    """Return test_counts[k] test images of class k, of which about `hit_rate` are predicted right.

    No two logits are equal, so that no metric depends on how it breaks ties. train_counts: the training images kept;
    left out, a tail that falls from 200 to 10. Its images are of a balancer that made up what each class lacks of the
    largest, and whose generator draws more of them. There are no super-classes. Every array is read-only.
    """
    rng = np.random.default_rng([seed, *test_counts])
    class_count = len(test_counts)
    labels_N = rng.permutation(np.repeat(np.arange(class_count, dtype=np.int64), test_counts))
    logits_NK = rng.normal(0, 1, (len(labels_N), class_count)).astype(np.float32)
    favoured_N = np.where(rng.random(len(labels_N)) < hit_rate, labels_N, (labels_N + 1) % class_count)
    logits_NK[np.arange(len(labels_N)), favoured_N] += 4
    default_counts = np.geomspace(200, 10, class_count).astype(np.int64)
    train_counts_K = default_counts if train_counts is None else np.array(train_counts, dtype=np.int64)
    for array in (labels_N, logits_NK, train_counts_K):
        array.setflags(write=False)
    return Evaluation(
        logits_NK=logits_NK,
        labels_N=labels_N,
        class_names=tuple(f"class {label}" for label in range(class_count)),
        train_counts_K=train_counts_K,
        cost=Cost(duration_seconds=12.5, images_seen=5000, optimiser_steps=40, peak_memory_bytes=2**28),
        images=_tiny_images(labels_N, train_counts_K, seed),
    )


def tiny_subset_evaluation(
    train_counts: Sequence[int] = (40, 10, 2), *, test_counts: Sequence[int] | None = None, seed: int = 0
) -> SubsetEvaluation:
    """Return train_counts[k] kept training images of class k, grey and 16x16, and test_counts[k] test images.

    test_counts: left out, 10 of each class. There are no super-classes. Every array is read-only.
    """
    counts = [10] * len(train_counts) if test_counts is None else test_counts
    return SubsetEvaluation(
        train=tiny_training_set(train_counts, seed=seed),
        test_images_NCHW=tiny_training_set(counts, seed=seed + 1).images_NCHW,
        device="cpu",
        cached=_computed_for_an_empty_store,
    )
