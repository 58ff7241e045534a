"""The classifier is the published one: layers, weights at first, batches and scale, against a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from balancebench import LabelledImages, Phase, TrainingPlan
from balancebench.testing import fit_context
from balancebench.training.model import build_model
from balancebench.training.reproducibility import run_seeds, seeded_globals
from balancebench_datasynth.fruit_cnn import FruitCnn, fruit_cnn
from balancebench_datasynth.options import FruitCnnOptions


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def train():
    labels_N = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], dtype=np.int64)
    images_NCHW = np.random.default_rng(0).integers(0, 256, (10, 3, 16, 16), dtype=np.uint8)
    return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=("apple", "banana", "orange"))


def built(dropout=0.0, size=16):
    return build_model(
        lambda channels, image_size: FruitCnn(channels, image_size, dropout),
        channels=3,
        image_size=(size, size),
        class_count=3,
        head="linear",
        head_begins="xavier",
    )


def test_the_layers_have_the_published_sizes():
    shapes = [tuple(weight.shape) for name, weight in built(size=64).named_parameters() if name.endswith("weight")]
    assert shapes == [(32, 3, 3, 3), (64, 32, 3, 3), (128, 16384), (3, 128)]


def test_weights_begin_as_glorot_has_it_and_biases_at_zero():
    for name, parameter in built(size=64).named_parameters():
        if name.endswith("bias"):
            assert parameter.eq(0).all()
        else:
            fan_out, fan_in = parameter.shape[:2]
            bound = math.sqrt(6 / ((fan_in + fan_out) * parameter[0, 0].numel()))
            assert parameter.detach().abs().max() <= bound
            assert parameter.detach().std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_training_is_that_of_a_plain_loop_with_pixels_between_minus_one_and_one(train):
    options = FruitCnnOptions(epochs=3, batch_size=10, dropout=0.0)
    losses: list[float] = []
    context = fit_context(epoch_finished=lambda _epoch, _predictor, values: losses.append(values["loss"]))
    fruit_cnn(options).fit(TrainingPlan(phases=(Phase(images=train),)), context)

    with seeded_globals(run_seeds(context.seed).network, torch.device("cpu")):
        network = built().train()
    adam = torch.optim.Adam(network.parameters(), lr=0.001)
    images, labels = torch.from_numpy(train.images_NCHW), torch.from_numpy(train.labels_N)
    expected: list[float] = []
    for _ in range(3):
        loss = nn.CrossEntropyLoss()(network((images / 255 - 0.5) / 0.5), labels)
        adam.zero_grad()
        loss.backward()
        adam.step()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, rel=1e-3)


def test_the_last_batch_of_an_epoch_is_kept_though_it_is_small(train):
    counted: list[tuple[int, int]] = []
    context = fit_context(count=lambda images, steps: counted.append((images, steps)))
    fruit_cnn(FruitCnnOptions(epochs=1, batch_size=4)).fit(TrainingPlan(phases=(Phase(images=train),)), context)
    assert tuple(map(sum, zip(*counted, strict=True))) == (10, 3)


def test_dropout_is_of_the_hidden_layer_and_of_training_alone(train):
    network = built(dropout=0.5)
    images = torch.from_numpy(train.images_NCHW).float()
    with torch.no_grad():
        assert torch.equal(network.eval()(images), network(images))
        features_ND = network.train().features(images)
    dropped_N = features_ND.eq(0).float().mean()
    assert 0.6 < dropped_N < 0.9  # half of those that the ReLU let pass, and all that it did not
