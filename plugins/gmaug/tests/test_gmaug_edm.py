"""EDM scales, samples and trains as its paper's formulae say, and goes on where it was interrupted."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from balancebench import BalancerError, LabelledImages
from balancebench.checkpoints import Checkpoints
from balancebench.testing import synthesis_context, tiny_training_set, trained_and_drawn
from balancebench_gmaug.diffusion_drawing import NoiseStreams, with_guidance
from balancebench_gmaug.diffusion_network import LabelledUNet, cropped, padded, padded_size
from balancebench_gmaug.diffusion_options import MICRO, Recipe, shape_of
from balancebench_gmaug.diffusion_training import average_decay, drop_labels
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


@pytest.mark.parametrize(
    ("preset", "size", "channels", "classes", "millions"),
    [
        ("micro", 32, 3, 10, 0.281),
        ("tiny", 32, 3, 10, 1.12),
        ("small", 32, 3, 10, 8.98),
        ("ddpm", 32, 3, 10, 35.75),
        ("paper", 32, 3, 10, 59.0),
        ("paper", 64, 3, 10, 52.6),
        ("paper", 128, 3, 10, 95.1),
    ],
)
def test_the_networks_have_the_parameters_of_their_table(preset, size, channels, classes, millions):
    with torch.device("meta"):
        network = LabelledUNet(shape_of(preset, size, size), channels, classes)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.005)
    assert not list(network.buffers())


def test_images_are_padded_by_their_borders_to_what_the_network_divides_by_and_cropped_back():
    images_BCHW = torch.arange(30 * 28.0).view(1, 1, 30, 28)
    assert padded_size((30, 28), 8) == (32, 32)
    wide = padded(images_BCHW, (32, 32))
    assert wide.shape == (1, 1, 32, 32)
    assert torch.equal(wide[0, 0, 1:31, 0], images_BCHW[0, 0, :, 0])
    assert torch.equal(cropped(wide, (30, 28)), images_BCHW)


@pytest.mark.parametrize(("preset", "side"), [("tiny", 28), ("small", 32)])
def test_images_of_28_pixels_are_padded_where_the_network_has_four_levels(preset, side):
    assert padded_size((28, 28), shape_of(preset, 28, 28).divisor) == (side, side)


def test_an_images_noise_does_not_depend_on_its_batch():
    together = NoiseStreams.seeded(5, torch.Generator().manual_seed(4))
    random = torch.Generator().manual_seed(4)
    first, second = NoiseStreams.seeded(2, random), NoiseStreams.seeded(3, random)
    for _ in range(2):  # also what is drawn later
        expected = torch.cat([first.normal((1, 4, 4)), second.normal((1, 4, 4))])
        assert torch.equal(together.normal((1, 4, 4)), expected)


def trained(folder, train=None, **options):
    folder.mkdir()
    context = synthesis_context(folder)
    balancer = Edm(EdmOptions(**{**SMALL, "steps": 3, **options}))
    balancer.train_generator(tiny_training_set(height=8, width=8) if train is None else train, context)
    return balancer, context


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


def test_guidance_is_none_plus_scale_times_class_minus_none():
    def predict(images_BCHW, labels_B):
        return images_BCHW + torch.tensor([1.0, 10.0, 100.0])[labels_B].view(-1, 1, 1, 1)

    images_BCHW, labels_B = torch.zeros(2, 1, 1, 1), torch.tensor([0, 1])
    for scale, expected in ((0.0, [100, 100]), (1.0, [1, 10]), (3.0, [100 + 3 * (1 - 100), 100 + 3 * (10 - 100)])):
        assert with_guidance(predict, images_BCHW, labels_B, 2, scale).flatten().tolist() == expected


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


def test_two_trainings_of_a_seed_are_equal_bit_for_bit_and_of_two_seeds_are_not(tmp_path):
    weights = []
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        context = synthesis_context(tmp_path / name, seed)
        Edm(EdmOptions(**SMALL, steps=3, dropout=0.1)).train_generator(tiny_training_set(height=8, width=8), context)
        weights.append(load_file(context.artefacts / "generator.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


class Interrupted(Exception):
    """Ends a training as a crash does."""


@pytest.mark.parametrize("stop_after", [1, 7, 11])
def test_an_interrupted_training_ends_bit_for_bit_where_it_would_have(tmp_path, stop_after):
    balancer = Edm(EdmOptions(**SMALL, steps=12, dropout=0.2, mirror=True, augmentation=0.3))
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
    with pytest.raises(Interrupted):
        train("broken", checkpoints("kept", 0.0), fail_after=stop_after + 1)
    resumed = train("resumed", checkpoints("kept", 0.0))
    assert counts[2][0] == (4 * stop_after, stop_after)  # it went on, and did not begin anew
    assert np.sum(counts[2], axis=0).tolist() == np.sum(counts[0], axis=0).tolist() == [48, 12]
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


def test_pixels_are_scaled_by_the_deviation_of_the_kept_images_unless_a_number_is_given(tmp_path):
    train = flat_colours([6, 6], [40, 200])
    for name, options, expected in (
        ("images", {}, float(np.std(train.images_NCHW / 127.5 - 1))),
        ("number", {"sigma_data": 0.5}, 0.5),
    ):
        _, context = trained(tmp_path / name, train, steps=1, **options)
        facts = json.loads((context.artefacts / "generator.json").read_text())
        assert facts["pixel_deviation"] == pytest.approx(expected, rel=1e-9)


def test_a_curve_has_at_most_100_points_and_ends_with_the_last_step(tmp_path):
    _, context = trained(tmp_path / "training", flat_colours([3, 3], [40, 200], size=4), steps=101, batch_size=1)
    rows = json.loads((context.artefacts / "curves.json").read_text())["curves"]
    assert [row["epoch"] for row in rows] == list(range(51))


def test_two_classes_of_flat_colour_are_learnt_and_drawn_by_their_label(tmp_path):
    train = flat_colours([60, 20], [50, 200])
    options = EdmOptions(preset="micro", steps=160, batch_size=16, guidance=1.0, sampler_steps=6)
    (tmp_path / "training").mkdir()
    context = synthesis_context(tmp_path / "training")
    balancer = Edm(options)
    balancer.train_generator(train, context)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    labels_B = np.repeat([0, 1], 50)
    means_B = generator.draw(labels_B, torch.Generator().manual_seed(0)).mean(axis=(1, 2, 3))
    is_right_B = np.abs(means_B - np.array([50, 200])[labels_B]) < 40
    assert is_right_B.sum() >= 95


def test_what_each_class_lacks_is_drawn(tmp_path):
    train = tiny_training_set((6, 3, 1), channels=3, height=12, width=10)  # the network pads 10 columns to 12
    synthetic = trained_and_drawn(Edm(EdmOptions(**SMALL, steps=2)), train, tmp_path)
    assert synthetic.counts_K.tolist() == [0, 3, 5]
    assert synthetic.images_NCHW.shape == (8, 3, 12, 10)


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


def test_the_budget_is_images_or_steps():
    assert EdmOptions(preset="tiny", images=6_500).recipe.steps == 102  # batches of 64
    assert EdmOptions(preset="tiny", steps=10, batch_size=32).recipe.images == 320
    assert EdmOptions(preset="paper").recipe.images == 20_000_000
