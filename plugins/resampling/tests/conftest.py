"""Small training sets, and the contexts a balancer is called with."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from balancebench import LabelledImages, PlanContext, SynthesisContext

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
    """Return seed -> a context for `synthesise`, in which what these balancers have no use for fails."""

    def unused(*_args: Any) -> Any:
        raise AssertionError("resampling needs neither withheld images nor a classifier")

    return lambda seed: SynthesisContext(
        seed=seed,
        rng=np.random.default_rng(seed),
        device="cpu",
        precision="fp32",
        deterministic=True,
        artefacts=tmp_path,
        scratch=tmp_path,
        progress=lambda done, total, message="": None,
        logger=logging.getLogger("test"),
        withheld=unused,
        train_classifier=unused,
        count=unused,
    )
