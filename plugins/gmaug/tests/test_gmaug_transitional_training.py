"""Trainings of transitional_cgan: what is shown and asked for, what is learnt, and that interrupted ones go on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from balancebench import BalancerError, LabelledImages
from balancebench.testing import synthesis_context, tiny_training_set, trained_and_drawn
from balancebench.training.resident import ResidentImages
from balancebench_gmaug import transitional_cgan_options
from balancebench_gmaug.transitional_cgan import TransitionalCgan
from balancebench_gmaug.transitional_cgan_options import TransitionalCganOptions
from balancebench_gmaug.transitional_cgan_step import AdversarialStep


def micro(**options):
    return TransitionalCganOptions(**{"preset": "micro", **options})


class StopError(Exception):
    """An interruption."""


def recorded(tmp_path, monkeypatch, **options):
    """Train without learning; return all real images and all labels asked for."""
    real, asked = [], []

    def step(self, real_BCHW, labels_B, batch):
        real.append(real_BCHW)
        asked.append(self._ask(len(real_BCHW)))
        return torch.zeros(2)

    monkeypatch.setattr(AdversarialStep, "__call__", step)
    rows = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    images_NCHW = np.repeat(rows, 40, axis=0)
    images_NCHW[:, 0, 0, 0] = np.arange(40)
    train = LabelledImages(
        images_NCHW=images_NCHW, labels_N=np.repeat([0, 2], [36, 4]), class_names=("many", "none", "few")
    )
    balancer = TransitionalCgan(micro(kimg=4, checkpoint="last", **options))
    balancer.train_generator(train, synthesis_context(tmp_path))
    return torch.cat(real), torch.cat(asked)


def test_a_rare_and_a_frequent_kind_of_images_are_learnt_and_told_apart(tmp_path):
    # Bright above and dark below, or the other way round.
    rng = np.random.default_rng(0)
    labels_N = np.repeat([0, 1], [48, 16])
    above_NH = (np.arange(8) < 4) == (labels_N == 0)[:, None]
    images_NHW = np.where(above_NH[:, :, None], 200, 50) + rng.integers(-20, 20, (64, 8, 8))
    train = LabelledImages(
        images_NCHW=images_NHW[:, None].astype(np.uint8), labels_N=labels_N, class_names=("above", "below")
    )
    options = micro(
        augmentation="diff_augment",
        kimg=1.0,
        transition_start_kimg=0.1,
        transition_end_kimg=0.3,
        checkpoint="last",
        snapshot_kimg=0.5,
    )
    images = trained_and_drawn(TransitionalCgan(options), train, tmp_path)
    assert images.counts_K.tolist() == [0, 32]
    is_below = images.images_NCHW[:, 0, :4].mean(axis=(1, 2)) < images.images_NCHW[:, 0, 4:].mean(axis=(1, 2))
    assert is_below.mean() > 0.8  # a generator that knows no labels: 0.25


@pytest.mark.parametrize(
    ("options", "stops"),
    [
        ({"kimg": 0.056}, (3, 6)),  # seven batches: signs of three are summed up when it ends
        ({"conditioning": "utlo", "augmentation": "none", "mirror": True, "asked_labels": "uniform"}, (5,)),
        ({"preset": "auto", "channel_base": 64, "batch_size": 4, "conditioning": "plain", "kimg": 0.012}, (1,)),
    ],
)
def test_an_interrupted_training_ends_bit_for_bit_where_it_would_have_ended(options, stops, tmp_path, monkeypatch):
    # Of auto what has a state of its own (path lengths, residual connections), without the work of its width of 512.
    auto = transitional_cgan_options._auto
    narrow = {"latent_size": 32, "label_mapping_layers": 2}
    monkeypatch.setattr(transitional_cgan_options, "_auto", lambda *size: replace(auto(*size), **narrow))
    train, balancer = tiny_training_set((12, 4, 2)), TransitionalCgan(micro(**options))
    counted = {"whole": [0, 0], "parts": [0, 0]}

    def counting(name):
        def count(images, steps):
            counted[name][0] += images
            counted[name][1] += steps

        return count

    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = synthesis_context(tmp_path / "whole", count=counting("whole"))
    parts = synthesis_context(tmp_path / "parts", count=counting("parts"))
    whole.checkpoints.seconds = parts.checkpoints.seconds = 0
    balancer.train_generator(train, whole)
    for stop in stops:

        def interrupt(done, total, message="", stop=stop):
            if done == stop + 1:
                raise StopError

        with pytest.raises(StopError):
            balancer.train_generator(train, replace(parts, progress=interrupt))
        for left_behind in parts.artefacts.iterdir():  # an attempt begins with an empty folder
            left_behind.unlink()
        counted["parts"] = [0, 0]
    balancer.train_generator(train, parts)
    for name in ("generator.safetensors", "generator.json", "curves.json"):
        assert (parts.artefacts / name).read_bytes() == (whole.artefacts / name).read_bytes(), name
    for name in ("state.safetensors", "position.json"):  # what no image shows: moments, signs, means
        last, expected = (context.checkpoints.latest() / name for context in (parts, whole))
        assert last.read_bytes() == expected.read_bytes(), name
    state = load_file(parts.checkpoints.latest() / "state.safetensors")
    assert "sign_sum" not in state or state["sign_sum"] != 0  # or equality would say nothing of it
    assert counted["parts"] == counted["whole"]


def test_a_checkpoint_of_other_networks_is_refused(tmp_path):
    context = synthesis_context(tmp_path)
    context.checkpoints.seconds = 0
    train = tiny_training_set()
    TransitionalCgan(micro()).train_generator(train, context)
    with pytest.raises(BalancerError, match="of other networks: delete it"):
        TransitionalCgan(micro(channel_base=64)).train_generator(train, context)


@pytest.mark.parametrize(
    ("counts", "message"),
    [((3, 2, 2), "7 training images are fewer than a batch of 8"), ((20, 0, 0), "all training images are of class")],
)
def test_too_little_to_train_on_is_refused_before_anything_is_built(counts, message, tmp_path, monkeypatch):
    monkeypatch.setattr(ResidentImages, "upload", None)
    with pytest.raises(BalancerError, match=message):
        TransitionalCgan(micro()).train_generator(tiny_training_set(counts), synthesis_context(tmp_path))


def test_images_of_more_than_128_pixels_are_refused(tmp_path):
    train = tiny_training_set((8, 4), height=16, width=129)
    with pytest.raises(BalancerError, match="16x129 are too large for transitional_cgan"):
        TransitionalCgan(micro()).train_generator(train, synthesis_context(tmp_path))


def test_every_real_image_comes_once_before_any_comes_again(tmp_path, monkeypatch):
    real, _ = recorded(tmp_path, monkeypatch)
    names = ((real[:, 0, 0, 0] + 1) * 255 / 2).round().int()
    for order in names.split(40):
        assert sorted(order.tolist()) == list(range(40))
    assert names[:40].tolist() != names[40:80].tolist()


@pytest.mark.parametrize("mirror", [False, True])
def test_half_of_the_real_images_are_mirrored_where_asked(mirror, tmp_path, monkeypatch):
    real, _ = recorded(tmp_path, monkeypatch, mirror=mirror)
    share = (real[:, 0, 8, 0] > real[:, 0, 8, 15]).float().mean().item()
    assert share == pytest.approx(0.5 if mirror else 0, abs=0.05 * mirror)


@pytest.mark.parametrize(("asked_labels", "share"), [("data", 0.1), ("uniform", 0.5)])
def test_classes_are_asked_for_as_often_as_the_option_says_and_empty_ones_never(
    asked_labels, share, tmp_path, monkeypatch
):
    _, asked = recorded(tmp_path, monkeypatch, asked_labels=asked_labels)
    counts = asked.bincount(minlength=3)
    assert counts[1] == 0
    assert counts[2].item() / len(asked) == pytest.approx(share, abs=0.03)  # 4,000 draws


def test_bf16_trains_what_fp32_trains_but_for_rounding(tmp_path):
    losses = {}
    for precision in ("fp32", "bf16"):
        (tmp_path / precision).mkdir()
        context = replace(synthesis_context(tmp_path / precision), precision=precision)
        TransitionalCgan(micro(kimg=0.016, transition_start_kimg=0, transition_end_kimg=0.008)).train_generator(
            tiny_training_set(), context
        )
        curves = json.loads((context.artefacts / "curves.json").read_text())["curves"]
        losses[precision] = curves[0]["generator_loss"], curves[0]["discriminator_loss"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.1)
    assert losses["bf16"] != losses["fp32"]


def test_training_that_diverges_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(AdversarialStep, "__call__", lambda *_: torch.tensor([float("nan"), 1.0]))
    with pytest.raises(BalancerError, match="diverged: generator loss is nan"):
        TransitionalCgan(micro()).train_generator(tiny_training_set(), synthesis_context(tmp_path))
