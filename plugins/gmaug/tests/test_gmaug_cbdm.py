"""CBDM's loss is its paper's, is DDPM's at tau 0, and its samplers are exact where the answer is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import chisquare

from balancebench import BalancerError
from balancebench.checkpoints import Checkpoints
from balancebench.testing import synthesis_context, tiny_training_set, trained_and_drawn
from balancebench.training.resident import cumulative_weights
from balancebench_gmaug.cbdm import Cbdm, cbdm_loss, other_labels, regulariser, tail_to_head
from balancebench_gmaug.cbdm_options import CbdmOptions
from balancebench_gmaug.diffusion_network import LabelledUNet
from balancebench_gmaug.diffusion_options import MICRO
from balancebench_gmaug.diffusion_steps import KEPT_T, Noised, kept_shares, noised, sample_steps, trailing_times
from balancebench_gmaug.diffusion_training import drop_labels

SMALL = {"preset": "micro", "batch_size": 4, "sampler_steps": 2}
CPU = torch.device("cpu")
COUNTS_K = np.array([30, 10, 2])


def micro_network(dropout=0.0, seed=0):
    torch.manual_seed(seed)
    network = LabelledUNet(MICRO, 1, len(COUNTS_K), dropout)
    torch.nn.init.normal_(network.unet.conv_out.weight, std=0.05)  # it begins at zero, where all predictions are equal
    return network


def loss_of(network, seed=0, labels=(0, 1, 2, 0), **options):
    """Return the loss of four images, with its gradients left in the network."""
    network.zero_grad()
    images_BCHW = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(9)).clamp(-1, 1)
    loss = cbdm_loss(CbdmOptions(**SMALL, **options), COUNTS_K, CPU, "fp32")
    torch.manual_seed(seed)
    value = loss(network, images_BCHW, torch.tensor(labels), torch.Generator().manual_seed(seed))
    value.backward()
    return value.item()


def gradients(network):
    return [parameter.grad.clone() for parameter in network.parameters()]


def test_both_terms_of_the_regulariser_are_those_worked_out_by_hand():
    own, of_others = torch.tensor([3.0, 0.0]).view(2, 1, 1, 1), torch.tensor([1.0, 4.0]).view(2, 1, 1, 1)
    value = regulariser(own, of_others, torch.tensor([0.5, 0.25]))
    # 0.5 (2^2 + 2^2 / 4) = 2.5 and 0.25 (4^2 + 4^2 / 4) = 5; their mean.
    assert value.item() == pytest.approx(3.75)


def test_each_term_moves_its_own_prediction_alone():
    own = torch.full((1, 1, 1, 1), 3.0, requires_grad=True)
    of_others = torch.full((1, 1, 1, 1), 1.0, requires_grad=True)
    regulariser(own, of_others, torch.tensor([0.8])).backward()
    assert own.grad.item() == pytest.approx(2 * 0.8 * (3 - 1))
    assert of_others.grad.item() == pytest.approx(0.8 / 2 * (1 - 3))


def test_the_loss_is_ddpms_plus_the_regulariser_at_the_weight_of_each_images_step():
    network, random = micro_network(), torch.Generator().manual_seed(5)
    images_BCHW = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(9)).clamp(-1, 1)
    labels_B = torch.tensor([0, 1, 2, 0])
    options = CbdmOptions(**SMALL, tau=2.0, label_dropout=0.5)
    value = cbdm_loss(options, COUNTS_K, CPU, "fp32")(network, images_BCHW, labels_B, random)
    random = torch.Generator().manual_seed(5)
    seen_B = drop_labels(labels_B, 3, 0.5, random)
    batch = noised(images_BCHW, kept_shares(CPU), random)
    others_B = other_labels("data", cumulative_weights(COUNTS_K, CPU), labels_B, random)
    own = network(batch.images_BCHW, batch.times_B.float(), seen_B)
    of_others = network(batch.images_BCHW, batch.times_B.float(), others_B)
    expected = ((own - batch.noise_BCHW) ** 2).mean()
    for image in range(4):
        if seen_B[image] != 3:
            weight = 2.0 * batch.times_B[image] / 1000
            expected = expected + 1.25 * weight * ((own[image] - of_others[image]) ** 2).mean() / 4
    assert 0 < (seen_B == 3).sum() < 4
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_at_step_0_the_regulariser_is_0(monkeypatch):
    from balancebench_gmaug import cbdm

    def first_step(images_BCHW, kept_T, random):
        batch = noised(images_BCHW, kept_T, random)
        return batch._replace(times_B=torch.zeros_like(batch.times_B))

    monkeypatch.setattr(cbdm, "noised", first_step)
    assert loss_of(micro_network(), tau=5.0) == loss_of(micro_network(), tau=0.0)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_label_compared_with_itself_costs_nothing_whatever_dropout_does(dropout, monkeypatch):
    from balancebench_gmaug import cbdm

    plain = loss_of(micro_network(dropout), tau=0.0, label_dropout=0.0, guidance=1.0)
    assert loss_of(micro_network(dropout), tau=5.0, label_dropout=0.0, guidance=1.0) > plain
    monkeypatch.setattr(cbdm, "other_labels", lambda _source, _frequencies_K, labels_B, _random: labels_B)
    assert loss_of(micro_network(dropout), tau=5.0, label_dropout=0.0, guidance=1.0) == pytest.approx(plain, rel=1e-7)


def test_tau_0_is_ddpm_bit_for_bit():
    network = micro_network()
    value = loss_of(network, tau=0.0)
    ours = gradients(network)
    network.zero_grad()
    random = torch.Generator().manual_seed(0)  # DDPM as it is written down: draw, mix, predict, compare
    images_BCHW = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(9)).clamp(-1, 1)
    hidden_B = torch.rand(4, generator=random) < 0.1
    labels_B = torch.where(hidden_B, 3, torch.tensor([0, 1, 2, 0]))
    times_B = torch.randint(1000, (4,), generator=random)
    noise_BCHW = torch.randn(4, 1, 8, 8, generator=random)
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float()[times_B].view(4, 1, 1, 1)
    mixed_BCHW = kept.sqrt() * images_BCHW + (1 - kept).sqrt() * noise_BCHW
    reference = torch.nn.functional.mse_loss(network(mixed_BCHW, times_B.float(), labels_B), noise_BCHW)
    reference.backward()
    assert value == reference.item()
    assert all(torch.equal(*pair) for pair in zip(ours, gradients(network), strict=True))


def test_at_tau_0_the_other_labels_change_nothing_at_all():
    values = [loss_of(micro_network(), tau=0.0, other_label=source) for source in ("data", "uniform", "none")]
    assert values[0] == values[1] == values[2]


@pytest.mark.parametrize(("source", "shares"), [("data", COUNTS_K / 42), ("uniform", np.full(3, 1 / 3))])
def test_other_labels_are_as_frequent_as_their_source_says(source, shares):
    labels_B = torch.zeros(6000, dtype=torch.int64)
    drawn = other_labels(source, cumulative_weights(COUNTS_K, CPU), labels_B, torch.Generator().manual_seed(0))
    assert chisquare(np.bincount(drawn, minlength=3), 6000 * shares).pvalue > 0.001
    assert chisquare(np.bincount(drawn, minlength=3), 6000 * np.array([0.5, 0.3, 0.2])).pvalue < 1e-6


def test_the_other_label_none_is_that_of_no_class():
    drawn = other_labels("none", cumulative_weights(COUNTS_K, CPU), torch.tensor([0, 2]), torch.Generator())
    assert drawn.tolist() == [3, 3]


@pytest.mark.parametrize(("way", "mixed"), [("image", True), ("batch", False)])
def test_labels_are_hidden_by_image_or_as_the_code_does_by_batch(way, mixed):
    shares = []

    def network(images_BCHW, _times_B, labels_B):
        shares.append((labels_B == 3).float().mean().item())
        return images_BCHW

    loss = cbdm_loss(CbdmOptions(**SMALL, tau=0.0, label_dropout=0.3, label_dropout_by=way), COUNTS_K, CPU, "fp32")
    random = torch.Generator().manual_seed(0)
    for _ in range(300):
        loss(network, torch.zeros(20, 1, 2, 2), torch.zeros(20, dtype=torch.int64), random)
    assert np.mean(shares) == pytest.approx(0.3, abs=0.1)
    assert any(0 < share < 1 for share in shares) == mixed


def noisy(images_BCHW, time, random):
    kept = torch.full((len(images_BCHW),), float(KEPT_T[time]))
    noise_BCHW = torch.randn(images_BCHW.shape, generator=random)
    share = kept.view(-1, 1, 1, 1)
    mixed_BCHW = share.sqrt() * images_BCHW + (1 - share).sqrt() * noise_BCHW
    return Noised(mixed_BCHW, torch.full((len(images_BCHW),), time), noise_BCHW, kept)


def test_a_tail_image_is_led_to_a_head_image_in_proportion_to_its_likelihood():
    random = torch.Generator().manual_seed(0)
    images_BCHW = torch.tensor([-0.5, 0.5, 0.1]).view(3, 1, 1, 1)
    sizes_B, told_B = torch.tensor([50, 50, 2]), torch.tensor([True, True, True])
    batch = noisy(images_BCHW, 300, random)
    kept = float(KEPT_T[300])
    seen = []
    for _ in range(3000):
        target = tail_to_head(images_BCHW, batch, sizes_B, told_B, random)
        back = (batch.images_BCHW - (1 - kept) ** 0.5 * target) / kept**0.5
        seen.append([int((back[row] - images_BCHW[:, 0]).abs().argmin()) for row in range(3)])
    chosen = np.array(seen)
    assert 2 not in chosen[:, :2]  # no head image leads to a tail class
    mixed = batch.images_BCHW[2, 0, 0, 0].item() / kept**0.5
    likely = np.exp(-((mixed - np.array([-0.5, 0.5, 0.1])) ** 2) / (2 * (1 / kept - 1)))
    assert chisquare(np.bincount(chosen[:, 2], minlength=3), 3000 * likely / likely.sum()).pvalue > 0.001


def test_an_image_whose_label_is_hidden_is_led_back_to_itself():
    random = torch.Generator().manual_seed(0)
    images_BCHW = torch.randn(4, 1, 4, 4, generator=random)
    batch = noisy(images_BCHW, 900, random)
    told_B = torch.tensor([False, True, False, True])
    target = tail_to_head(images_BCHW, batch, torch.tensor([2, 2, 2, 2]), told_B, random)
    assert torch.equal(target[~told_B], batch.noise_BCHW[~told_B])


def test_the_sampler_begins_at_the_last_step():
    assert trailing_times(1000) == list(range(999, -1, -1))
    assert trailing_times(4) == [999, 749, 499, 249]


def gaussian_noise(mean, variance):
    """Return the ideal prediction of the noise for images of N(mean, variance)."""

    def predict(images, time):
        kept = KEPT_T[time]
        return (1 - kept) ** 0.5 * (images - kept**0.5 * mean) / (kept * variance + 1 - kept)

    return predict


def test_ddim_with_the_ideal_prediction_of_a_gaussian_ends_where_its_closed_form_says():
    start = torch.linspace(-2, 2, 9, dtype=torch.float64).view(9, 1, 1, 1)
    generated = sample_steps(gaussian_noise(0.3, 0.04), lambda: start, trailing_times(1000), "ddim", clips=False)
    last = KEPT_T[999]
    expected = 0.3 + 0.2 * (start - last**0.5 * 0.3) / (last * 0.04 + 1 - last) ** 0.5
    assert torch.allclose(generated, expected, atol=4e-3)  # DDIM's steps are of first order


def test_ancestral_sampling_with_the_ideal_prediction_gives_the_gaussian():
    random = torch.Generator().manual_seed(0)
    generated = sample_steps(
        gaussian_noise(0.3, 0.04),
        lambda: torch.randn(20_000, 1, 1, 1, generator=random, dtype=torch.float64),
        trailing_times(1000),
        "ancestral",
        clips=False,
    )
    assert generated.mean().item() == pytest.approx(0.3, abs=0.006)
    assert generated.std().item() == pytest.approx(0.2, rel=0.03)


def test_what_an_image_is_led_to_is_cut_off_before_it_is_used():
    start = torch.full((1, 1, 1, 1), 3.0, dtype=torch.float64)
    seen = []
    sample_steps(
        lambda images, time: seen.append((time, images.item())) or torch.zeros_like(images),
        lambda: start,
        [500, 100],
        "ddim",
    )
    # Unclipped it would be led to 3 / sqrt(a), far out; cut to 1, its noise is what is left of 3.
    kept, kept_next = KEPT_T[500], KEPT_T[100]
    expected = kept_next**0.5 + (1 - kept_next) ** 0.5 * (3 - kept**0.5) / (1 - kept) ** 0.5
    assert seen[1] == (100, pytest.approx(expected))


@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_what_each_class_lacks_is_drawn(tmp_path, sampler):
    train = tiny_training_set((6, 3, 1), channels=3, height=12, width=10)
    synthetic = trained_and_drawn(Cbdm(CbdmOptions(**SMALL, steps=2, sampler=sampler)), train, tmp_path)
    assert synthetic.counts_K.tolist() == [0, 3, 5]
    assert synthetic.images_NCHW.shape == (8, 3, 12, 10)


@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_images_do_not_depend_on_the_batch_they_are_drawn_in(tmp_path, sampler):
    context = synthesis_context(tmp_path)
    balancer = Cbdm(CbdmOptions(**{**SMALL, "sampler_steps": 5}, steps=10, sampler=sampler))
    balancer.train_generator(tiny_training_set(height=8, width=8), context)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    labels_B = np.array([2, 0, 1, 1, 2])
    random = torch.Generator().manual_seed(3)
    parts = np.concatenate([generator.draw(part_B, random) for part_B in (labels_B[:1], labels_B[1:])])
    together = generator.draw(labels_B, torch.Generator().manual_seed(3))
    assert np.abs(parts.astype(int) - together.astype(int)).max() <= 1


class Interrupted(Exception):
    """Ends a training as a crash does."""


def test_an_interrupted_training_ends_bit_for_bit_where_it_would_have(tmp_path):
    balancer = Cbdm(CbdmOptions(**SMALL, steps=8, dropout=0.2, tail_to_head=True))
    (tmp_path / "kept").mkdir()

    def train(name, fail_after=None):
        (tmp_path / name).mkdir()
        calls = []

        def count(images, steps):
            calls.append(steps)
            if len(calls) == fail_after:
                raise Interrupted

        context = synthesis_context(tmp_path / name, count=count)
        if name != "whole":
            context = replace(context, checkpoints=Checkpoints(folder=tmp_path / "kept", seconds=0.0))
        balancer.train_generator(tiny_training_set((12, 5, 2), height=8, width=8), context)
        return calls, {path.name: path.read_bytes() for path in context.artefacts.iterdir()}

    _, whole = train("whole")
    with pytest.raises(Interrupted):
        train("broken", fail_after=5)
    calls, resumed = train("resumed")
    assert calls == [4, 1, 1, 1, 1]
    assert resumed == whole


def test_gradients_are_cut_to_norm_1(tmp_path, monkeypatch):
    norms = []
    real_step = torch.optim.Adam.step

    def step(self, *_):
        gradients = [
            parameter.grad.norm() for parameter in self.param_groups[0]["params"] if parameter.grad is not None
        ]
        norms.append(torch.stack(gradients).norm().item())
        return real_step(self)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    train = tiny_training_set(height=8, width=8)
    Cbdm(CbdmOptions(**SMALL, steps=6, tau=1000.0)).train_generator(train, synthesis_context(tmp_path))
    assert max(norms) <= 1.0001
    assert sum(norm > 0.99 for norm in norms) >= 3


def test_guidance_without_hidden_labels_is_refused():
    with pytest.raises(ValidationError, match=r"guidance = 2.6 needs a label_dropout above 0"):
        CbdmOptions(label_dropout=0.0)
    assert CbdmOptions(label_dropout=0.0, guidance=1.0).guidance == 1


def test_the_recipe_of_ddpm_is_the_published_one():
    recipe = CbdmOptions().recipe
    assert (recipe.steps, recipe.batch_size, recipe.learning_rate, recipe.clip) == (300_000, 48, 2e-4, 1.0)
    assert recipe.ramp_images / recipe.batch_size == 5000
    assert 0.5 ** (recipe.batch_size / recipe.ema_images) == pytest.approx(0.9999, abs=1e-9)


def test_bad_input_is_refused_before_anything_is_trained(tmp_path):
    balancer = Cbdm(CbdmOptions(**{**SMALL, "batch_size": 64}, steps=10**9))
    context = synthesis_context(tmp_path)
    with pytest.raises(BalancerError, match="17 training images are fewer than a batch of 64: set batch_size to 17"):
        balancer.train_generator(tiny_training_set((12, 5)), context)
    with pytest.raises(BalancerError, match="class 'class 1' has no images for a diffusion model"):
        balancer.train_generator(tiny_training_set((120, 0)), context)
    with pytest.raises(BalancerError, match="images of 8x130 are too large"):
        balancer.train_generator(tiny_training_set((64, 1), height=8, width=130), context)


def test_the_curve_of_the_loss_falls_on_images_of_one_shade(tmp_path):
    context = synthesis_context(tmp_path)
    train = tiny_training_set((12, 5), height=8, width=8)
    Cbdm(CbdmOptions(preset="micro", batch_size=8, steps=60)).train_generator(train, context)
    losses = [row["loss"] for row in json.loads((context.artefacts / "curves.json").read_text())["curves"]]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
