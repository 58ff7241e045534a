"""Trainings of diffusion models: batches, labels, averages, refusals, and that interrupted ones end as whole ones."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from balancebench import BalancerError, LabelledImages
from balancebench.checkpoints import Checkpoints
from balancebench.testing import synthesis_context, tiny_training_set
from balancebench_gmaug.diffusion_network import LabelledUNet
from balancebench_gmaug.diffusion_options import MICRO, Recipe
from balancebench_gmaug.diffusion_training import average_decay, drop_labels
from balancebench_gmaug.edm import Edm, edm_loss
from balancebench_gmaug.edm_options import EdmOptions

SMALL = {"preset": "micro", "batch_size": 4, "sampler_steps": 2}


def flat_colours(counts, levels, size=8):
    """Images of one level each, by class, with a little noise between images."""
    rng = np.random.default_rng(0)
    labels_N = np.repeat(np.arange(len(counts)), counts)
    levels_N = np.array(levels)[labels_N] + rng.integers(-8, 9, len(labels_N))
    images_NCHW = np.broadcast_to(levels_N[:, None, None, None], (len(labels_N), 1, size, size)).astype(np.uint8)
    names = tuple(f"level {level}" for level in levels)
    return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=names)


def trained(folder, train=None, **options):
    folder.mkdir()
    context = synthesis_context(folder)
    balancer = Edm(EdmOptions(**{**SMALL, "steps": 3, **options}))
    balancer.train_generator(tiny_training_set(height=8, width=8) if train is None else train, context)
    return balancer, context


class Interrupted(Exception):
    """Ends a training as a crash does."""


def test_where_compiling_pays_the_compiled_network_is_trained_to_the_same_weights(tmp_path, monkeypatch):
    from balancebench_gmaug import diffusion_training

    calls = []

    @contextmanager
    def compiled(network, _device):
        yield lambda *inputs: calls.append(network) or network(*inputs)

    _, plain = trained(tmp_path / "plain")
    monkeypatch.setattr(diffusion_training, "compilation_reason", lambda *_, **__: (True, "it pays"))
    monkeypatch.setattr(diffusion_training, "compiled", compiled)
    _, faster = trained(tmp_path / "compiled")
    assert len(calls) == 3
    name = "generator.safetensors"
    assert (plain.artefacts / name).read_bytes() == (faster.artefacts / name).read_bytes()


def test_labels_are_dropped_image_by_image_and_not_a_batch_at_once():
    random = torch.Generator().manual_seed(0)
    dropped = torch.stack([drop_labels(torch.zeros(50, dtype=torch.int64), 7, 0.1, random) == 7 for _ in range(200)])
    assert dropped.float().mean().item() == pytest.approx(0.1, abs=0.012)
    assert dropped.float().mean(dim=1).std().item() == pytest.approx((0.1 * 0.9 / 50) ** 0.5, rel=0.2)  # a batch: 0.3


def test_dropping_all_labels_trains_only_the_row_of_no_class():
    torch.manual_seed(0)
    network = LabelledUNet(MICRO, 1, 3)
    torch.nn.init.normal_(network.unet.conv_out.weight)
    edm_loss(0.5, network.null_label, 1.0, "fp32")(
        network, torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1]), torch.Generator().manual_seed(0)
    ).backward()
    of_rows = network.unet.class_embedding.weight.grad.abs().sum(dim=1)
    assert of_rows[:3].tolist() == [0, 0, 0]
    assert of_rows[3] > 0


def test_the_average_halves_after_its_half_life_and_follows_quickly_at_first():
    recipe = Recipe(images=10**6, batch_size=100, learning_rate=1e-3, ramp_images=0, ema_images=1000)
    assert average_decay(recipe, 10**6) ** 10 == pytest.approx(0.5)
    assert average_decay(recipe, 2000) == pytest.approx(0.5)  # a half-life of 0.05 x 2,000 images is one batch
    assert average_decay(replace(recipe, ema_ramp=None), 2000) == pytest.approx(0.5**0.1)


@pytest.mark.parametrize("kept_share", [0.0, 1.0])
def test_the_average_of_the_weights_is_what_is_kept(tmp_path, monkeypatch, kept_share):
    from balancebench_gmaug import diffusion_training

    monkeypatch.setattr(diffusion_training, "average_decay", lambda _recipe, _images: kept_share)
    _, context = trained(tmp_path / "training")
    last_layer = load_file(context.artefacts / "generator.safetensors")["unet.conv_out.weight"]
    assert bool((last_layer == 0).all()) == (kept_share == 1)  # where training began


def test_the_learning_rate_rises_over_the_images_asked_for(tmp_path, monkeypatch):
    rates = []
    real_step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda self, *_: rates.append(self.param_groups[0]["lr"]) or real_step(self)
    )
    trained(tmp_path / "training", steps=5, learning_rate=0.03, ramp_images=12)
    assert rates == pytest.approx([0.01, 0.02, 0.03, 0.03, 0.03])


def test_two_trainings_of_a_seed_are_equal_bit_for_bit_and_of_two_seeds_are_not(tmp_path):
    weights = []
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        context = synthesis_context(tmp_path / name, seed)
        Edm(EdmOptions(**SMALL, steps=3, dropout=0.1)).train_generator(tiny_training_set(height=8, width=8), context)
        weights.append(load_file(context.artefacts / "generator.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_an_interrupted_training_ends_bit_for_bit_where_it_would_have(tmp_path):
    balancer = Edm(EdmOptions(**SMALL, steps=7, dropout=0.2, mirror=True, augmentation=0.3))
    counts = []

    def train(name, checkpoints, fail_after=None):
        (tmp_path / name).mkdir()
        counts.append([])

        def count(images, steps):
            counts[-1].append((images, steps))
            if len(counts[-1]) == fail_after:
                raise Interrupted

        context = replace(synthesis_context(tmp_path / name, count=count), checkpoints=checkpoints)
        balancer.train_generator(tiny_training_set((12, 5, 2), height=8, width=8), context)
        return {path.name: path.read_bytes() for path in context.artefacts.iterdir()}

    def checkpoints(name, seconds):
        (tmp_path / name).mkdir(exist_ok=True)
        return Checkpoints(folder=tmp_path / name, seconds=seconds)

    whole = train("whole", checkpoints("none", 1e9))
    done = 0
    for stop_after in (1, 4, 6):  # after the first step, in the second round of the images, before the last step
        with pytest.raises(Interrupted):
            train(f"until {stop_after}", checkpoints("kept", 0.0), fail_after=stop_after - done + 1 + (done > 0))
        if done:
            assert counts[-1][0] == (4 * done, done)  # it went on, and did not begin anew
        done = stop_after
    resumed = train("resumed", checkpoints("kept", 0.0))
    assert counts[-1][0] == (4 * 6, 6)
    assert np.sum(counts[-1], axis=0).tolist() == np.sum(counts[0], axis=0).tolist() == [28, 7]
    assert resumed.keys() == whole.keys() == {"generator.safetensors", "generator.json", "curves.json"}
    assert resumed == whole


def test_the_last_image_of_each_class_is_visited_as_often_as_any_other(tmp_path, monkeypatch):
    from balancebench_gmaug import diffusion_training

    seen = []
    real_select = diffusion_training.ResidentImages.select
    monkeypatch.setattr(
        diffusion_training.ResidentImages,
        "select",
        lambda self, indices_B: seen.extend(indices_B.tolist()) or real_select(self, indices_B),
    )
    trained(
        tmp_path / "training", tiny_training_set((5, 2, 1), height=8, width=8), steps=10
    )  # 8 images, two batches an epoch
    assert np.bincount(seen).tolist() == [5] * 8


def test_mirroring_is_off_unless_asked_for_and_then_an_image_at_a_time(tmp_path, monkeypatch):
    from balancebench_gmaug import edm

    seen = []
    real_loss = edm.edm_loss

    def watched(*settings):
        loss = real_loss(*settings)
        return lambda network, images_BCHW, *others: seen.append(images_BCHW) or loss(network, images_BCHW, *others)

    monkeypatch.setattr(edm, "edm_loss", watched)
    left = np.zeros((40, 1, 8, 8), dtype=np.uint8)
    left[..., :4] = 255
    train = LabelledImages(images_NCHW=left, labels_N=np.arange(40) % 2, class_names=("a", "b"))
    for mirror, expected in ((False, {True}), (True, {True, False})):
        seen.clear()
        trained(tmp_path / str(mirror), train, steps=5, mirror=mirror, batch_size=20)
        assert {bool(image[0, 0, 0] > 0) for images in seen for image in images} == expected
        if mirror:
            assert all(0 < (images[:, 0, 0, 0] > 0).sum() < 20 for images in seen)


def test_a_curve_has_at_most_100_points_and_ends_with_the_last_step(tmp_path, monkeypatch):
    from balancebench_gmaug import diffusion_training

    assert diffusion_training.POINTS == 100
    monkeypatch.setattr(diffusion_training, "POINTS", 5)
    _, context = trained(tmp_path / "training", flat_colours([3, 3], [40, 200], size=4), steps=7, batch_size=1)
    rows = json.loads((context.artefacts / "curves.json").read_text())["curves"]
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]  # two steps each, the last of one


def test_fewer_images_than_a_batch_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(BalancerError, match=r"17 training images are fewer than a batch of 256: set batch_size to 17"):
        trained(tmp_path / "training", tiny_training_set((12, 5)), batch_size=256, steps=10**9)


def test_a_class_without_images_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(BalancerError, match=r"class 'class 1' has no images for a diffusion model to learn from"):
        trained(tmp_path / "training", tiny_training_set((12, 0, 5)), steps=10**9)


def test_images_beyond_128_pixels_are_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(BalancerError, match=r"images of 8x130 are too large .* 128 is the most"):
        trained(tmp_path / "training", tiny_training_set((4, 4), height=8, width=130), steps=10**9)


def test_a_training_that_diverges_says_so(tmp_path):
    with pytest.raises(BalancerError, match=r"training diverged: loss is (nan|inf)"):
        trained(tmp_path / "training", steps=150, learning_rate=1e30, ramp_images=0)


def test_the_budget_is_images_or_steps():
    assert EdmOptions(preset="tiny", images=6_500).recipe.steps == 102  # batches of 64
    assert EdmOptions(preset="tiny", steps=10, batch_size=32).recipe.images == 320
    assert EdmOptions(preset="paper").recipe.images == 20_000_000
