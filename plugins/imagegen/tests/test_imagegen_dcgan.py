"""DCGAN has the paper's networks and losses, learns a class's images, and never sees withheld ones unasked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import linalg
from torch import nn

from balancebench import BalancerError, LabelledImages, Origin
from balancebench.testing import synthesis_context
from balancebench_imagegen import plugin
from balancebench_imagegen.dcgan import Dcgan, build_discriminator, build_generator
from balancebench_imagegen.frechet import frechet_distance
from balancebench_imagegen.options import DcganOptions

TINY = {"latent": 8, "generator_width": 4, "discriminator_width": 4, "batch_size": 4, "features": "pixels"}


def parameters(network):
    return sum(found.numel() for found in network.parameters())


def painted(levels, class_names=("sky", "cat/kitten"), channels=3, size=(12, 10)):
    """Images of one grey level each, by class: levels[class] is a list of levels."""
    labels_N = np.repeat(np.arange(len(levels)), [len(found) for found in levels])
    flat_N = np.concatenate([np.asarray(found, dtype=np.uint8) for found in levels])
    images_NCHW = np.broadcast_to(flat_N[:, None, None, None], (len(flat_N), channels, *size)).copy()
    return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=class_names)


def test_the_networks_have_the_papers_numbers_of_parameters_and_shapes():
    generator, discriminator = build_generator(3, 100, 64), build_discriminator(3, 64)
    assert (parameters(generator), parameters(discriminator)) == (3_576_704, 2_765_568)
    with torch.no_grad():
        made = generator(torch.randn(2, 100, 1, 1))
        assert made.shape == (2, 3, 64, 64)
        assert made.abs().max() <= 1
        assert discriminator(made).shape == (2,)
    assert not any(name.endswith("bias") for name, _ in nn.Sequential(generator[0], generator[3]).named_parameters())


def test_weights_begin_as_the_paper_draws_them():
    torch.manual_seed(0)
    for network in (build_generator(3, 100, 64), build_discriminator(3, 64)):
        for module in network:
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
                assert module.weight.mean().item() == pytest.approx(0, abs=0.002)
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1, abs=0.01)
                assert module.bias.abs().max() == 0


def test_a_class_of_one_shade_is_learnt(tmp_path):
    train = painted([[0] * 40, [220] * 8])
    options = DcganOptions(
        latent=8,
        generator_width=8,
        discriminator_width=8,
        batch_size=8,
        epochs=60,
        checkpoint="last",
        generator_learning_rate=1e-2,
        discriminator_learning_rate=2e-3,
    )
    made = Dcgan(options).synthesise(train, synthesis_context(tmp_path))
    assert made.counts_K.tolist() == [0, 32]
    assert made.images_NCHW.shape[1:] == (3, 12, 10)
    assert (made.origins_N == Origin.SYNTHETIC).all()
    assert made.images_NCHW.mean() == pytest.approx(220, abs=30)  # an untrained generator paints 127


def test_losses_of_the_first_step_are_those_of_an_undecided_discriminator(tmp_path):
    train = painted([[0] * 12, [100, 120, 140, 160]])
    Dcgan(DcganOptions(**TINY, epochs=2, checkpoint="last")).synthesise(train, synthesis_context(tmp_path))
    curves = json.loads((tmp_path / "artefacts" / "curves_1_cat_kitten.json").read_text())["curves"]
    # D's logits start near 0: bce is log 2 for any label, twice in D's loss.
    assert curves[0]["discriminator_loss"] == pytest.approx(2 * np.log(2), abs=0.15)
    assert curves[0]["generator_loss"] == pytest.approx(np.log(2), abs=0.15)
    assert [row["epoch"] for row in curves] == [0, 1]
    weights = load_file(tmp_path / "artefacts" / "generator_1_cat_kitten.safetensors")
    assert weights["0.weight"].shape == (8, 32, 4, 4)


@pytest.mark.parametrize("variant", ["text", "code"])
def test_the_epoch_of_lowest_fid_makes_the_images(variant, tmp_path, monkeypatch):
    from balancebench_imagegen import dcgan

    scores = iter([9.0, 3.0, 7.0, 5.0])
    monkeypatch.setattr(dcgan, "frechet_distance", lambda *_: next(scores))
    monkeypatch.setattr(dcgan, "FORGET_LOWEST_AFTER_EPOCHS", 2)
    states = []
    real_add = dcgan.Curves.add

    def add(self, epoch, **values):
        real_add(self, epoch, **values)
        states.append(generators[-1].state_dict()["0.weight"].clone())

    generators = []

    def build(*sizes):
        generators.append(build_generator(*sizes))
        return generators[-1]

    monkeypatch.setattr(dcgan.Curves, "add", add)
    monkeypatch.setattr(dcgan, "build_generator", build)
    train = painted([[0] * 12, [100, 120, 140, 160]])
    Dcgan(DcganOptions(**TINY, epochs=4, variant=variant)).synthesise(train, synthesis_context(tmp_path))
    # The code forgets the 3.0 of the first two epochs, and the lowest of the rest is the last.
    expected = states[{"text": 1, "code": 3}[variant]]
    weights = load_file(tmp_path / "artefacts" / "generator_1_cat_kitten.safetensors")
    assert torch.equal(weights["0.weight"], expected)
    assert not torch.equal(states[1], states[3])


def test_only_the_codes_variant_shows_the_discriminator_noisy_images(tmp_path):
    train = painted([[0] * 12, [100, 120, 140, 160]])
    losses = {}
    for variant in ("text", "code"):
        (tmp_path / variant).mkdir()
        context = synthesis_context(tmp_path / variant)
        Dcgan(DcganOptions(**TINY, epochs=1, checkpoint="last", variant=variant)).synthesise(train, context)
        losses[variant] = (context.artefacts / "curves_1_cat_kitten.json").read_text()
    assert losses["text"] != losses["code"]


def test_withheld_images_are_trained_on_only_where_that_is_asked_for(tmp_path):
    train, withheld = painted([[0] * 12, [10] * 4]), painted([[60] * 5, [250] * 40])
    seen = {}
    for train_on in ("kept", "withheld_too"):
        (tmp_path / train_on).mkdir()
        counted, looked = [], []
        context = synthesis_context(
            tmp_path / train_on,
            withheld=lambda looked=looked: looked.append(True) or withheld,
            count=lambda images, _steps, counted=counted: counted.append(images),
        )
        Dcgan(DcganOptions(**TINY, epochs=1, train_on=train_on)).synthesise(train, context)
        seen[train_on] = (sum(counted), len(looked))
    assert seen == {"kept": (4, 0), "withheld_too": (44, 1)}  # of the short class alone


def test_nothing_withheld_is_looked_at_where_no_class_is_short(tmp_path):
    options = DcganOptions(**TINY, epochs=1, train_on="withheld_too")
    assert Dcgan(options).synthesise(painted([[0] * 4, [9] * 4]), synthesis_context(tmp_path)) is None


def test_a_class_of_one_image_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(BalancerError, match=r"'cat/kitten' has 1 image to train on: batch normalisation needs"):
        Dcgan(DcganOptions(**TINY, epochs=10_000)).synthesise(painted([[0] * 4, [9]]), synthesis_context(tmp_path))


def test_a_training_that_diverges_says_so(tmp_path):
    options = DcganOptions(**TINY, epochs=50, checkpoint="last", discriminator_learning_rate=1e30)
    with pytest.raises(BalancerError, match=r"training diverged: .* is (nan|inf)"):
        Dcgan(options).synthesise(painted([[0] * 12, [10, 200, 30, 90]]), synthesis_context(tmp_path))


def test_images_seen_and_steps_are_counted_a_last_single_image_left_out(tmp_path):
    counted = []
    context = synthesis_context(tmp_path, count=lambda images, steps: counted.append((images, steps)))
    Dcgan(DcganOptions(**TINY, epochs=2)).synthesise(painted([[0] * 12, [9] * 9]), context)
    assert counted == [(8, 2), (8, 2)]


def test_frechet_distance_is_that_of_the_formula_with_a_matrix_root():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (60, 5)), rng.normal(0.5, 2, (40, 5)) @ rng.normal(0, 1, (5, 5))
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(torch.from_numpy(first), torch.from_numpy(second)) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(torch.from_numpy(first), torch.from_numpy(first)) == pytest.approx(0, abs=1e-9)


def test_choosing_by_inception_needs_its_weights_before_a_run(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (component,) = [found for found in plugin.balancebench_balancers() if found.name == "dcgan"]
    with pytest.raises(BalancerError, match=r"needs the weights of Inception-v3 at .*fetch them there beforehand"):
        component.ready(DcganOptions())
    component.ready(DcganOptions(features="pixels"))
    component.ready(DcganOptions(checkpoint="last"))
    assert "Inception-v3" in component.outside_data(DcganOptions())
    assert component.outside_data(DcganOptions(checkpoint="last")) is None
