"""Small images, small networks and a recording context for the tests of training."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from balancebench import FitContext, LabelledImages
from balancebench.training.loop import ImageSets, Run
from balancebench.training.model import build_model
from balancebench.training.normalise import make_normaliser
from balancebench.training.options import TrainingOptions
from balancebench.training.predict import ModelPredictor

CPU = torch.device("cpu")


def images(count: int = 40, classes: int = 4, channels: int = 1, size: int = 8, seed: int = 0) -> LabelledImages:
    """Return noise whose left or right, upper or lower half is brighter, by class: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    labels_N = np.arange(count, dtype=np.int64) % classes
    pixels = rng.integers(0, 128, (count, channels, size, size), dtype=np.uint8)
    for label in range(classes):
        row, column = divmod(label % 4, 2)
        half = size // 2
        quarter = (slice(row * half, row * half + half), slice(column * half, column * half + half))
        pixels[labels_N == label, :, *quarter] += np.uint8(100)
    return LabelledImages(
        images_NCHW=pixels, labels_N=labels_N, class_names=tuple(f"class {label}" for label in range(classes))
    )


class TinyNet(nn.Module):
    """A convolution, batch normalisation, dropout, pooling: everything that has state or draws numbers."""

    def __init__(self, channels: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
        )

    def forward(self, images_NCHW):
        return self.layers(images_NCHW)


def tiny_backbone(channels: int, _image_size: tuple[int, int]) -> nn.Module:
    return TinyNet(channels)


@dataclass
class Recorded:
    """What a run told its context."""

    epochs: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)
    progress: list[tuple[float, float, str]] = field(default_factory=list)


def make_context(recorded: Recorded | None = None, **changes: Any) -> FitContext:
    recorded = recorded or Recorded()
    settings: dict[str, Any] = {
        "seed": 0,
        "device": "cpu",
        "precision": "fp32",
        "deterministic": True,
        "progress": lambda done, total, message="": recorded.progress.append((done, total, message)),
        "logger": logging.getLogger("test"),
        "epoch_finished": lambda epoch, _predictor, values: recorded.epochs.append((epoch, dict(values))),
        "count": lambda images, steps: recorded.counts.append((images, steps)),
    }
    return FitContext(**{**settings, **changes})


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(name="make_images")
def _make_images():
    return images


@pytest.fixture(name="make_context")
def _make_context():
    return make_context


@pytest.fixture(name="tiny_backbone")
def _tiny_backbone():
    return tiny_backbone


@pytest.fixture
def recorded():
    return Recorded()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def make_run(make_context, tiny_backbone, recorded):
    """A run over phases, with the network in plain sight."""

    def make(phases, options=None, head="linear", dropout=0.2, **changes):
        torch.manual_seed(0)
        shape = phases[0].images.images_NCHW.shape
        model = build_model(
            tiny_backbone,
            channels=shape[1],
            image_size=shape[2:],
            class_count=phases[0].images.class_count,
            head=head,
        )
        model.backbone.layers[5].p = dropout
        image_sets = ImageSets(phases, CPU)
        normaliser = make_normaliser("training_set", torch.from_numpy(phases[0].images.images_NCHW))
        return Run(
            model=model,
            options=options or TrainingOptions(epochs=4, batch_size=10, learning_rate=0.05),
            context=make_context(recorded, **changes),
            image_sets=image_sets,
            normaliser=normaliser,
            generator=torch.Generator().manual_seed(1),
            predictor=ModelPredictor(
                model,
                normaliser,
                image_shape=phases[0].images.images_NCHW.shape[1:],
                device=CPU,
                precision="fp32",
                deterministic=True,
                adjust_head=None,
                adjust_logits=None,
            ),
        )

    return make
