"""DCGAN has the paper's networks and losses, learns a class's images, and never sees withheld ones unasked."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from balancebench import BalancerError, DataError, LabelledImages, Origin
from balancebench.synthesis.frechet import frechet_distance, moments_of
from balancebench.testing import synthesis_context, trained_and_drawn
from balancebench_imagegen import plugin
from balancebench_imagegen.dcgan import Dcgan, TrainedModels, wrapped
from balancebench_imagegen.dcgan_features import load_features
from balancebench_imagegen.dcgan_networks import build_discriminator, build_generator
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
        generated = generator(torch.randn(2, 100, 1, 1))
        assert generated.shape == (2, 3, 64, 64)
        assert generated.abs().max() <= 1
        assert discriminator(generated).shape == (2,)
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
    synthetic = trained_and_drawn(Dcgan(options), train, tmp_path)
    assert synthetic.counts_K.tolist() == [0, 32]
    assert synthetic.images_NCHW.shape[1:] == (3, 12, 10)
    assert (synthetic.origins_N == Origin.SYNTHETIC).all()
    assert synthetic.images_NCHW.mean() == pytest.approx(220, abs=30)  # an untrained generator paints 127


def test_losses_of_the_first_step_are_those_of_an_undecided_discriminator(tmp_path):
    train = painted([[0] * 12, [100, 120, 140, 160]])
    Dcgan(DcganOptions(**TINY, epochs=2, checkpoint="last")).train_generator(train, synthesis_context(tmp_path))
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
    Dcgan(DcganOptions(**TINY, epochs=4, variant=variant)).train_generator(train, synthesis_context(tmp_path))
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
        Dcgan(DcganOptions(**TINY, epochs=1, checkpoint="last", variant=variant)).train_generator(train, context)
        losses[variant] = (context.artefacts / "curves_1_cat_kitten.json").read_text()
    assert losses["text"] != losses["code"]


@pytest.mark.parametrize(("variant", "draws_a_step"), [("text", 0), ("code", 2)])
def test_noise_on_images_is_drawn_twice_a_step_by_the_code_and_never_by_the_text(
    variant, draws_a_step, tmp_path, monkeypatch
):
    drawn, real_randn = [], torch.randn

    def randn(*size, **settings):
        if tuple(size[0])[-2:] == (64, 64):
            drawn.append(size[0])
        return real_randn(*size, **settings)

    monkeypatch.setattr(torch, "randn", randn)
    train = painted([[0] * 12, [100] * 10])  # three steps an epoch: 4, 4 and 2 images
    Dcgan(DcganOptions(**TINY, epochs=5, variant=variant)).train_generator(train, synthesis_context(tmp_path))
    assert len(drawn) == 15 * draws_a_step


def test_the_code_judges_an_epoch_by_the_noisy_images_of_its_last_partial_batch(tmp_path, monkeypatch):
    from balancebench_imagegen import dcgan

    judged = []
    pixels = load_features("pixels", torch.device("cpu"))

    def load(*_):
        return lambda images_BCHW: judged.append(images_BCHW.float()) or pixels(images_BCHW)

    monkeypatch.setattr(dcgan, "load_features", load)
    train = painted([[0] * 12, [230] * 10])  # the last of an epoch's batches has 2 images
    Dcgan(DcganOptions(**TINY, epochs=3, variant="code")).train_generator(train, synthesis_context(tmp_path))
    assert [len(images) for images in judged] == [2] * 6
    for real in judged[0::2]:
        assert real.mean().item() == pytest.approx(0.9 * (230 - 127.5) + 127.5, abs=0.5)
        assert real.std().item() == pytest.approx(0.1 * 127.5, rel=0.03)


def test_a_conversion_that_expects_0_to_1_wraps_negative_values_as_the_authors_does():
    # Worked out by hand: -127.5 and -25.5, cut off, are -127 and -25; modulo 256 they are 129 and 231.
    values = torch.tensor([-1.0, -0.5, -0.1, 0.0, 0.5, 1.0])
    assert wrapped(values).tolist() == [1, 129, 231, 0, 127, 255]


@pytest.mark.parametrize(("variant", "expected"), [("text", [64, 115, 191]), ("code", [129, 231, 127])])
def test_images_of_the_code_are_wrapped_and_those_of_the_text_are_not(variant, expected, tmp_path):
    context = synthesis_context(tmp_path)
    balancer = Dcgan(DcganOptions(**TINY, epochs=1, checkpoint="last", variant=variant))
    balancer.train_generator(painted([[0] * 6, [9] * 4], size=(64, 64)), context)
    models = TrainedModels({0: Painter()}, (3, 12, 10), 8, ("sky",), wraps=variant == "code")
    images_BCHW = models.draw(np.array([0]), torch.Generator())
    assert images_BCHW[0, :, 3, 3].tolist() == expected
    restored = balancer.restore_generator(context.artefacts, "cpu")
    level = np.median(restored.draw(np.array([1] * 40), torch.Generator().manual_seed(0)))
    # After one epoch the networks paint near 0: the middle of -1..1, and black to who expects 0..1.
    assert level == pytest.approx({"text": 127.5, "code": 0}[variant], abs=3)


class Painter(nn.Module):
    """Paints red -0.5, green -0.1 and blue 0.5, whatever the noise."""

    def forward(self, noise):
        return torch.tensor([-0.5, -0.1, 0.5]).view(1, 3, 1, 1).expand(len(noise), 3, 64, 64)


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
        Dcgan(DcganOptions(**TINY, epochs=1, train_on=train_on)).train_generator(train, context)
        seen[train_on] = (sum(counted), len(looked))
    assert seen == {"kept": (4, 0), "withheld_too": (44, 1)}  # of the short class alone


def test_a_balanced_set_trains_nothing_looks_at_nothing_withheld_and_needs_no_images(tmp_path):
    options = DcganOptions(**TINY, epochs=1, train_on="withheld_too")
    assert trained_and_drawn(Dcgan(options), painted([[0] * 4, [9] * 4]), tmp_path) is None
    assert not list((tmp_path / "training" / "artefacts").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("classes", "trained"),
    [("smaller", [1]), ("all", [0, 1]), (["sky"], [0]), (["cat/kitten", "sky"], [0, 1])],
)
def test_models_are_trained_for_the_classes_that_are_asked_for(tmp_path, classes, trained):
    context = synthesis_context(tmp_path)
    balancer = Dcgan(DcganOptions(**TINY, epochs=1, checkpoint="last", classes=classes))
    balancer.train_generator(painted([[0] * 6, [9] * 4]), context)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    for label, name in enumerate(("sky", "cat/kitten")):
        if label in trained:
            assert generator.draw(np.array([label] * 2), torch.Generator()).shape == (2, 3, 12, 10)
        else:
            with pytest.raises(BalancerError, match=f"class '{name}' has no model to draw from"):
                generator.draw(np.array([label]), torch.Generator())


def test_a_class_that_does_not_exist_is_named_with_its_nearest(tmp_path):
    balancer = Dcgan(DcganOptions(**TINY, epochs=1, classes=["cat/kiten"]))
    with pytest.raises(BalancerError, match=r"lists none of this set: 'cat/kiten'.*cat/kitten"):
        balancer.train_generator(painted([[0] * 6, [9] * 4]), synthesis_context(tmp_path))


def test_each_class_is_drawn_by_its_own_model_whatever_the_order_of_labels(tmp_path):
    context = synthesis_context(tmp_path)
    balancer = Dcgan(DcganOptions(**TINY, epochs=40, checkpoint="last", classes="all", generator_learning_rate=1e-2))
    balancer.train_generator(painted([[0] * 8, [255] * 8]), context)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    levels_B = generator.draw(np.array([1, 0, 1, 0]), torch.Generator().manual_seed(0)).mean(axis=(1, 2, 3))
    assert levels_B[[0, 2]].min() > levels_B[[1, 3]].max() + 5


def test_a_class_of_one_image_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(BalancerError, match=r"'cat/kitten' has 1 image to train on: batch normalisation needs"):
        Dcgan(DcganOptions(**TINY, epochs=10_000)).train_generator(painted([[0] * 4, [9]]), synthesis_context(tmp_path))


def test_a_training_that_diverges_says_so(tmp_path):
    options = DcganOptions(**TINY, epochs=50, checkpoint="last", discriminator_learning_rate=1e30)
    with pytest.raises(BalancerError, match=r"training diverged: .* is (nan|inf)"):
        Dcgan(options).train_generator(painted([[0] * 12, [10, 200, 30, 90]]), synthesis_context(tmp_path))


def test_images_seen_and_steps_are_counted_a_last_single_image_left_out(tmp_path):
    counted = []
    context = synthesis_context(tmp_path, count=lambda images, steps: counted.append((images, steps)))
    Dcgan(DcganOptions(**TINY, epochs=2)).train_generator(painted([[0] * 12, [9] * 9]), context)
    assert counted == [(8, 2), (8, 2)]


def test_the_score_of_an_epoch_is_the_distance_of_as_many_made_images_from_a_batch_of_real_ones(tmp_path):
    train = painted([[0] * 12, [100, 120, 140, 160]])
    options = DcganOptions(**{**TINY, "batch_size": 8}, epochs=1)
    Dcgan(options).train_generator(train, synthesis_context(tmp_path))
    (row,) = json.loads((tmp_path / "artefacts" / "curves_1_cat_kitten.json").read_text())["curves"]
    # Few epochs leave the generator's images grey: what is apart are the levels, of 3 x 8 x 8 equal pixels each.
    levels_N = np.array([100, 120, 140, 160])
    grey = 192 * ((levels_N.mean() - 127.5) ** 2 + levels_N.var(ddof=1))
    assert row["fid"] == pytest.approx(grey, rel=0.2)


def test_pixels_are_compared_at_8x8_in_float32():
    images_BCHW = torch.full((2, 3, 64, 64), 7, dtype=torch.uint8)
    features_BD = load_features("pixels", torch.device("cpu"))(images_BCHW)
    assert torch.equal(features_BD, torch.full((2, 192), 7.0))
    assert frechet_distance(moments_of(features_BD.numpy()), moments_of(features_BD.numpy() + 1)) == pytest.approx(192)


def test_choosing_by_inception_needs_its_weights_before_a_run(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (component,) = [found for found in plugin.balancebench_balancers() if found.name == "dcgan"]
    with pytest.raises(DataError, match=r"needs the weights of Inception-v3 at .*fetch them there beforehand"):
        component.ready(DcganOptions())
    component.ready(DcganOptions(features="pixels"))
    component.ready(DcganOptions(checkpoint="last"))
    assert "Inception-v3" in component.outside_data(DcganOptions())
    assert component.outside_data(DcganOptions(checkpoint="last")) is None
