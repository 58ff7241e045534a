"""Small training sets, contexts, and a source of batches whose images tell which ones they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from balancebench import BalancerComponent, Base, Batch, LabelledImages, PlanContext, TrainingPlan
from balancebench_longtail import plugin

CLASS_NAMES = ("bird", "cat", "deer", "dog", "frog")


@dataclass
class Source:
    """A `BatchSource` over the images of one set, which notes what it was asked to draw."""

    images: LabelledImages
    generator: Generator = field(default_factory=lambda: Generator().manual_seed(0))
    drawn_with: list[NDArray[np.float64] | None] = field(default_factory=list[NDArray[np.float64] | None])

    def draw(self, size: int, sampling_weight_N: NDArray[np.float64] | None = None) -> Batch:
        self.drawn_with.append(sampling_weight_N)
        weight_N = np.ones(len(self.images)) if sampling_weight_N is None else sampling_weight_N
        index_B = torch.multinomial(torch.from_numpy(weight_N), size, replacement=True, generator=self.generator)
        return self.batch(index_B)

    def batch(self, index_B: Tensor) -> Batch:
        images_NCHW = torch.from_numpy(self.images.images_NCHW[index_B.numpy()].copy()).float()
        images_NCHW = images_NCHW.contiguous(memory_format=torch.channels_last)  # as the training loop gives them
        return Batch(images_NCHW=images_NCHW, labels_N=torch.from_numpy(self.images.labels_N[index_B.numpy()]))


@pytest.fixture
def make_train() -> Callable[..., LabelledImages]:
    """Return counts -> random 3x8x8 images of as many classes, labels mixed, arrays read-only."""

    def make(*counts: int, size: int = 8) -> LabelledImages:
        rng = np.random.default_rng(7)
        labels_N = rng.permutation(np.repeat(np.arange(len(counts), dtype=np.int64), counts))
        images_NCHW = rng.integers(0, 256, size=(len(labels_N), 3, size, size), dtype=np.uint8)
        for array in (labels_N, images_NCHW):
            array.setflags(write=False)
        return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=CLASS_NAMES[: len(counts)])

    return make


@pytest.fixture
def make_source() -> Callable[..., Source]:
    """Return (images, seed) -> a source of batches of them."""

    def make(images: LabelledImages, seed: int = 0) -> Source:
        return Source(images, Generator().manual_seed(seed))

    return make


@pytest.fixture
def plan() -> Callable[..., TrainingPlan]:
    """Return (name, train, **options) -> the plan of that balancer; `base` is another balancer's name and options."""
    components: dict[str, BalancerComponent[Any]] = {
        component.name: component for component in plugin.balancebench_balancers()
    }

    def planned(name: str, train: LabelledImages, **options: object) -> TrainingPlan:
        component = components[name]
        validated = component.options.model_validate(options)
        reference = getattr(validated, "base", None)
        base = None
        if reference is not None:
            wrapped = components[reference.use]
            balancer = wrapped.create(wrapped.options.model_validate(reference.options))
            base = Base(balancer=balancer, synthetic=None)
        context = PlanContext(rng=np.random.default_rng(0), base=base)
        return component.create(validated).plan(train, None, context)

    return planned
