"""Sets of features and of images for the tests of the quality metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from balancebench import Cost, Evaluation, EvaluationImages, LabelledImages, Origin
from balancebench.testing.tiny import FixedProjection


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_features() -> Callable[..., np.ndarray]:
    """Return (count, features, seed) -> float32 features with correlated columns, away from the origin."""

    def make(count: int, features: int = 8, seed: int = 0, shift: float = 0.0) -> np.ndarray:
        rng = np.random.default_rng([seed, count, features])
        mixing_DD = np.random.default_rng(features).normal(0, 1, (features, features))
        return (rng.normal(0, 1, (count, features)) @ mixing_DD + 3 + shift).astype(np.float32)

    return make


@pytest.fixture
def make_images() -> Callable[..., LabelledImages]:
    """Return (counts, seed, origin) -> noise images of 1x4x4 around a grey level of their class."""

    def make(counts: Sequence[int], seed: int = 0, origin: Origin = Origin.REAL, spread: float = 25) -> LabelledImages:
        rng = np.random.default_rng([seed, *counts])
        labels_N = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        levels_N = 60 + 40 * labels_N
        noise_NCHW = rng.normal(0, spread, (len(labels_N), 1, 4, 4))
        return LabelledImages(
            images_NCHW=(levels_N[:, None, None, None] + noise_NCHW).clip(0, 255).astype(np.uint8),
            labels_N=labels_N,
            class_names=tuple("abcdefghijklmnop"[: len(counts)]),
            origin_N=np.full(len(labels_N), origin, dtype=np.uint8),
        )

    return make


@pytest.fixture
def evaluate() -> Callable[..., Evaluation]:
    """Return an evaluation of these image sets; full_train is kept where it is left out."""

    def make(
        *,
        synthetic: LabelledImages | None,
        kept: LabelledImages,
        test: LabelledImages,
        full_train: LabelledImages | None = None,
        used_withheld_data: bool = False,
        extractor: object = None,
    ) -> Evaluation:
        images = EvaluationImages(
            synthetic=lambda: synthetic,
            kept=lambda: kept,
            full_train=lambda: kept if full_train is None else full_train,
            test=lambda: test,
            used_withheld_data=used_withheld_data,
            extractor=lambda: extractor or FixedProjection(class_count=kept.class_count),
            device="cpu",
        )
        return Evaluation(
            logits_NK=np.zeros((len(test), test.class_count), dtype=np.float32),
            labels_N=test.labels_N,
            class_names=test.class_names,
            train_counts_K=kept.counts_K,
            cost=Cost(duration_seconds=1.0, images_seen=1, optimiser_steps=1, peak_memory_bytes=1),
            images=images,
        )

    return make
