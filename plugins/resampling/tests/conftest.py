"""Small training sets, and the contexts a balancer is called with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from balancebench import LabelledImages, PlanContext, SynthesisContext
from balancebench.testing.contexts import synthesis_context as testing_context

CLASS_NAMES = ("bird", "cat", "deer", "dog")


@pytest.fixture
def make_train() -> Callable[..., LabelledImages]:
    """Return counts -> random 3x4x4 images of as many classes, labels mixed, arrays read-only."""

    def make(*counts: int) -> LabelledImages:
        rng = np.random.default_rng(7)
        labels_N = rng.permutation(np.repeat(np.arange(len(counts), dtype=np.int64), counts))
        images_NCHW = rng.integers(0, 256, size=(len(labels_N), 3, 4, 4), dtype=np.uint8)
        for array in (labels_N, images_NCHW):
            array.setflags(write=False)
        return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=CLASS_NAMES[: len(counts)])

    return make


@pytest.fixture
def grey_train() -> Callable[..., LabelledImages]:
    """Return grey levels of each class -> images of a single pixel."""

    def make(*levels: list[int]) -> LabelledImages:
        return LabelledImages(
            images_NCHW=np.concatenate(levels).astype(np.uint8).reshape(-1, 1, 1, 1),
            labels_N=np.repeat(np.arange(len(levels), dtype=np.int64), [len(of_class) for of_class in levels]),
            class_names=CLASS_NAMES[: len(levels)],
        )

    return make


@pytest.fixture
def plan_context() -> Callable[[int], PlanContext]:
    """Return seed -> a context for `plan`."""
    return lambda seed: PlanContext(rng=np.random.default_rng(seed))


@pytest.fixture
def synthesis_context(tmp_path: Path) -> Callable[[int], SynthesisContext]:
    """Return seed -> a context for `synthesise`, in which asking for withheld images or a classifier fails."""

    def make(seed: int) -> SynthesisContext:
        folder = tmp_path / f"context{next(numbers)}"
        folder.mkdir()
        return testing_context(folder, seed)

    numbers = count()
    return make
