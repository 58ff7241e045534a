"""Small training sets for the tests of the conditional GAN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from balancebench import LabelledImages


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_train() -> Callable[..., LabelledImages]:
    """Return counts -> images of as many classes, bright in a place of their class, labels mixed, arrays read-only."""

    def make(*counts: int, shape: tuple[int, int, int] = (1, 8, 8)) -> LabelledImages:
        rng = np.random.default_rng(5)
        labels_N = rng.permutation(np.repeat(np.arange(len(counts), dtype=np.int64), counts))
        images_NCHW = rng.integers(0, 60, size=(len(labels_N), *shape), dtype=np.uint8)
        images_NCHW[np.arange(len(labels_N)), :, labels_N % shape[1]] += 180
        for array in (labels_N, images_NCHW):
            array.setflags(write=False)
        names = tuple(f"class {label}" for label in range(len(counts)))
        return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=names)

    return make
