"""EDM scales, samples and draws as its paper's formulae say."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from balancebench import LabelledImages
from balancebench.testing import synthesis_context, tiny_training_set, trained_and_drawn
from balancebench_gmaug.edm import Edm, denoised, edm_loss, heun, noise_levels, scaling
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


def network_of_one_value(value=0.0):
    return lambda images_BCHW, _times_B, _labels_B: torch.full_like(images_BCHW, value)


def trained(folder, train=None, **options):
    folder.mkdir()
    context = synthesis_context(folder)
    balancer = Edm(EdmOptions(**{**SMALL, "steps": 3, **options}))
    balancer.train_generator(tiny_training_set(height=8, width=8) if train is None else train, context)
    return balancer, context


@pytest.mark.parametrize("level", [0.002, 0.1, 0.5, 3.0, 80.0])
def test_weight_times_the_square_of_c_out_is_one(level):
    scales = scaling(torch.tensor(level, dtype=torch.float64), 0.5)
    assert (scales.weight * scales.out**2).item() == pytest.approx(1, rel=1e-12)
    # The variance of what goes into the network is 1, of pixels of variance 0.25 with noise on them.
    assert (scales.into**2 * (0.25 + level**2)).item() == pytest.approx(1, rel=1e-12)


def test_denoising_no_noise_returns_the_image():
    images_BCHW = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    level_B = torch.full((2,), 1e-6)
    generated_BCHW = denoised(network_of_one_value(5.0), images_BCHW, level_B, torch.tensor([0, 1]), 0.5, "fp32")
    assert torch.allclose(generated_BCHW, images_BCHW, atol=1e-5)


def test_in_bf16_the_network_alone_is_in_bf16():
    seen = []

    def network(images_BCHW, _times_B, _labels_B):
        seen.append((torch.is_autocast_enabled("cpu"), images_BCHW.dtype))
        return images_BCHW.bfloat16()

    images_BCHW = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    level_B = torch.full((2,), 1e-4)
    generated_BCHW = denoised(network, images_BCHW, level_B, torch.tensor([0, 1]), 0.5, "bf16")
    assert seen == [(True, torch.float32)]
    assert generated_BCHW.dtype == torch.float32
    assert torch.allclose(generated_BCHW, images_BCHW, atol=1e-3)  # bf16 would be off by 0.004 at 1


def test_noise_levels_begin_at_80_end_at_0_002_and_then_0():
    levels = noise_levels(18)
    assert (levels[0], levels[17], levels[18]) == (pytest.approx(80), pytest.approx(0.002), 0)
    assert len(levels) == 19
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize(("steps", "golden"), [(18, 0.527625), (40, 0.504877), (80, 0.501145)])
def test_heun_with_the_ideal_denoiser_of_a_gaussian_gives_the_golden_numbers(steps, golden):
    start = torch.ones(1, 1, 1, 1, dtype=torch.float64)  # times 80
    generated = heun(lambda noisy, level: noisy * 0.25 / (0.25 + level**2), start, noise_levels(steps))
    assert generated.item() == pytest.approx(golden, abs=5e-7)
    exact = 80 * 0.5 / np.sqrt(0.25 + 80**2)
    assert exact == pytest.approx(0.499990, abs=5e-7)


def test_heun_takes_two_passes_a_level_but_one_at_the_last():
    calls = []
    heun(lambda noisy, level: calls.append(level) or noisy, torch.ones(1, 1, 1, 1), noise_levels(18))
    assert len(calls) == 35


def test_the_loss_of_a_network_that_says_nothing_is_that_of_what_it_should_have_said():
    # F's target is (x - c_skip (x + s n)) / c_out, of variance 1 where pixels are of variance d^2.
    images_BCHW = torch.randn(4000, 1, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.5
    loss = edm_loss(0.5, 2, 0.1, "fp32")
    labels_B = torch.zeros(4000, dtype=torch.int64)
    value = loss(network_of_one_value(), images_BCHW, labels_B, torch.Generator().manual_seed(1))
    assert value.item() == pytest.approx(1, abs=0.05)  # 16,000 squares of a normal number: standard error 0.011


def test_levels_of_noise_in_training_are_log_normal_as_the_paper_draws_them():
    seen = []

    def network(images_BCHW, times_B, _labels_B):
        seen.append(4 * times_B)
        return images_BCHW

    loss = edm_loss(0.5, 2, 0.1, "fp32")
    loss(
        network, torch.zeros(20_000, 1, 1, 1), torch.zeros(20_000, dtype=torch.int64), torch.Generator().manual_seed(0)
    )
    assert seen[0].mean().item() == pytest.approx(-1.2, abs=0.04)
    assert seen[0].std().item() == pytest.approx(1.2, abs=0.03)


def test_images_do_not_depend_on_the_batch_they_are_drawn_in(tmp_path):
    balancer, context = trained(tmp_path / "training", steps=10)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    labels_B = np.array([2, 0, 1, 1, 2])
    random = torch.Generator().manual_seed(3)
    parts = [generator.draw(part_B, random) for part_B in (labels_B[:1], labels_B[1:])]
    together = generator.draw(labels_B, torch.Generator().manual_seed(3))
    # Kernels for other batch sizes may round otherwise: by a level of 255 at most.
    assert np.abs(np.concatenate(parts).astype(int) - together.astype(int)).max() <= 1
    assert len(np.unique(together.reshape(5, -1), axis=0)) == 5
    assert generator.draw(labels_B[:0], random).shape == (0, 1, 8, 8)


def test_guidance_is_for_the_levels_asked_for_and_of_scale_0_forgets_the_class(tmp_path):
    _, context = trained(tmp_path / "training", steps=20, label_dropout=0.5)

    def drawn(labels=(0, 1, 2), **options):
        generator = Edm(EdmOptions(**SMALL, **options)).restore_generator(context.artefacts, "cpu")
        return generator.draw(np.array(labels), torch.Generator().manual_seed(0)).astype(int)

    between = {"guidance_from": 70.0, "guidance_to": 79.0}  # no level of this sampler lies there
    assert np.array_equal(drawn(guidance=1.0), drawn(guidance=3.0, **between))
    assert not np.array_equal(drawn(guidance=1.0), drawn(guidance=6.0))
    without_class = [drawn(guidance=0.0), drawn(labels=(2, 2, 2), guidance=0.0)]
    assert np.array_equal(*without_class)


def test_pixels_are_scaled_by_the_deviation_of_the_kept_images_unless_a_number_is_given(tmp_path):
    train = flat_colours([6, 6], [40, 200])
    for name, options, expected in (
        ("images", {}, float(np.std(train.images_NCHW / 127.5 - 1))),
        ("number", {"sigma_data": 0.5}, 0.5),
    ):
        _, context = trained(tmp_path / name, train, steps=1, **options)
        facts = json.loads((context.artefacts / "generator.json").read_text())
        assert facts["pixel_deviation"] == pytest.approx(expected, rel=1e-9)


def test_two_classes_of_flat_colour_are_learnt_and_drawn_by_their_label(tmp_path):
    train = flat_colours([60, 20], [50, 200])
    quickly = {"steps": 90, "learning_rate": 5e-3, "ramp_images": 200, "ema_images": 300}
    options = EdmOptions(preset="micro", batch_size=16, guidance=1.0, sampler_steps=6, **quickly)
    (tmp_path / "training").mkdir()
    context = synthesis_context(tmp_path / "training")
    balancer = Edm(options)
    balancer.train_generator(train, context)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    labels_B = np.repeat([0, 1], 20)
    means_B = generator.draw(labels_B, torch.Generator().manual_seed(0)).mean(axis=(1, 2, 3))
    is_right_B = np.abs(means_B - np.array([50, 200])[labels_B]) < 40
    assert is_right_B.sum() >= 38


def test_what_each_class_lacks_is_drawn(tmp_path):
    train = tiny_training_set((6, 3, 1), channels=3, height=12, width=10)  # the network pads 10 columns to 12
    synthetic = trained_and_drawn(Edm(EdmOptions(**SMALL, steps=2)), train, tmp_path)
    assert synthetic.counts_K.tolist() == [0, 3, 5]
    assert synthetic.images_NCHW.shape == (8, 3, 12, 10)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"images": 10, "steps": 10}, "give images or steps, not both"),
        ({"guidance_from": 3.0, "guidance_to": 2.0}, "guidance_from must be below guidance_to"),
        ({"label_dropout": 1.0}, "less than 1"),
        ({"label_dropout": 0.0, "guidance": 2.0}, "guidance = 2 needs a label_dropout above 0"),
        ({"sampler_steps": 1}, "greater than or equal to 2"),
        ({"sigma_data": 0}, "greater than 0"),
    ],
)
def test_options_that_contradict_are_refused(options, reason):
    with pytest.raises(ValidationError, match=reason):
        EdmOptions(**options)
