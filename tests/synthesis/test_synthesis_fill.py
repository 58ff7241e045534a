from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from balancebench import BalancerError, LabelledImages, Origin
from balancebench.synthesis.curves import Curves
from balancebench.synthesis.fill import fill_classes
from balancebench.synthesis.seeded_run import from_unit_range, save_weights, seeded_run, to_unit_range
from balancebench.testing.contexts import synthesis_context


@pytest.fixture
def train():
    labels_N = np.array([0, 0, 0, 1, 2, 2])
    images_NCHW = np.zeros((6, 1, 2, 3), np.uint8)
    return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=("a", "b", "c"))


def painted(labels_B):
    return np.broadcast_to((10 * labels_B).astype(np.uint8)[:, None, None, None], (len(labels_B), 1, 2, 3)).copy()


def test_each_class_gets_the_images_it_misses_made_for_its_label(train):
    asked: list[list[int]] = []

    def make(labels_B):
        asked.append(labels_B.tolist())
        return painted(labels_B)

    generated = fill_classes(train, np.array([0, 2, 3]), make, batch_size=4, progress=lambda *_: None)

    assert generated is not None
    assert asked == [[1, 1, 2, 2], [2]]
    assert generated.counts_K.tolist() == [0, 2, 3]
    assert (generated.images_NCHW == 10 * generated.labels_N[:, None, None, None]).all()
    assert (generated.origins_N == Origin.SYNTHETIC).all()


def test_nothing_is_made_where_nothing_is_missing(train):
    assert fill_classes(train, np.zeros(3, np.int64), painted, batch_size=4, progress=lambda *_: None) is None


def test_images_of_another_shape_are_refused(train):
    with pytest.raises(BalancerError, match=r"made uint8 \(2, 1, 3, 2\) where uint8 \(2, 1, 2, 3\)"):
        fill_classes(
            train,
            np.array([0, 2, 0]),
            lambda labels_B: painted(labels_B).swapaxes(2, 3),
            batch_size=4,
            progress=lambda *_: None,
        )


def test_every_pixel_value_survives_the_way_to_the_unit_range_and_back():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    scaled = to_unit_range(pixels)

    assert (scaled.min(), scaled.max()) == (-1, 1)
    assert torch.equal(from_unit_range(scaled), pixels)
    assert from_unit_range(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_a_curve_that_is_not_finite_says_which_and_when(tmp_path):
    curves = Curves(tmp_path)
    curves.add(0, generator_loss=1.5)

    with pytest.raises(BalancerError, match="generator loss is nan in epoch 2"):
        curves.add(1, generator_loss=float("nan"))
    assert json.loads((tmp_path / "curves.json").read_text()) == {"curves": [{"epoch": 0, "generator_loss": 1.5}]}


def test_a_seeded_run_repeats_and_leaves_global_states_alone(tmp_path):
    context = synthesis_context(tmp_path, seed=3)
    before = torch.get_rng_state()
    drawn: list[list[float]] = []
    for _ in range(2):
        with seeded_run(context) as generator:
            drawn.append([*torch.rand(2).tolist(), *torch.rand(2, generator=generator).tolist()])

    assert drawn[0] == drawn[1]
    assert drawn[0][:2] != drawn[0][2:]
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_are_written_as_safetensors(tmp_path):
    from safetensors.torch import load_file

    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    save_weights(tmp_path, "generator", module)

    loaded = load_file(tmp_path / "generator.safetensors")
    assert {name: value.tolist() for name, value in loaded.items()} == {
        name: value.tolist() for name, value in module.state_dict().items()
    }
