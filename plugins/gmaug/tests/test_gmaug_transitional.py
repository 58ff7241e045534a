"""transitional_cgan blends labels in on time, trains what it says, chooses its snapshot, goes on where it stopped."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from balancebench import BalancerError, DataError, LabelledImages
from balancebench.testing import synthesis_context, tiny_training_set, trained_and_drawn
from balancebench.training.resident import ResidentImages
from balancebench_gmaug import transitional_cgan_snapshots, transitional_cgan_training
from balancebench_gmaug.adaptive_augmentation import AdaptiveAugmentation
from balancebench_gmaug.stylegan2 import Discriminator, Generator, Shape
from balancebench_gmaug.transitional_cgan import TransitionalCgan, padded
from balancebench_gmaug.transitional_cgan_component import TRANSITIONAL_CGAN
from balancebench_gmaug.transitional_cgan_drawing import cut_to
from balancebench_gmaug.transitional_cgan_options import TransitionalCganOptions, recipe_of
from balancebench_gmaug.transitional_cgan_snapshots import SnapshotJudge, load_features
from balancebench_gmaug.transitional_cgan_step import AdversarialStep, make_finite, r1_penalty, strength_at


def micro(**options):
    return TransitionalCganOptions(**{"preset": "micro", **options})


def beginning(options, side=16):
    """The step of a training that begins, and a batch of real images for it."""
    torch.manual_seed(0)
    recipe = recipe_of(options, side)
    shape = Shape(side=side, channels=1, class_count=3)
    random = torch.Generator().manual_seed(0)
    step = AdversarialStep(
        options,
        recipe,
        Generator(recipe, shape, options.conditioning),
        Discriminator(recipe, shape, reads_low=options.conditioning == "utlo"),
        lambda count: torch.arange(count) % 3,
        random,
        "fp32",
    )
    real = torch.rand(recipe.batch_size, 1, side, side, generator=random) * 2 - 1
    return step, real, torch.arange(recipe.batch_size) % 3


def test_labels_count_0_0_one_half_and_1_at_0_1999_3000_and_4000_kimg():
    recipe = recipe_of(TransitionalCganOptions(preset="auto"), 128)
    strengths = [strength_at(kimg * 1000, recipe) for kimg in (0, 1999, 3000, 4000, 9000)]
    assert strengths == [0, 0, 0.5, 1, 1]


def test_a_transition_without_length_is_a_step():
    recipe = recipe_of(micro(transition_start_kimg=0.02, transition_end_kimg=0.02), 16)
    assert [strength_at(images, recipe) for images in (0, 19, 20)] == [0, 0, 1]


def test_the_settings_of_auto_depend_on_the_number_of_pixels():
    recipe = recipe_of(TransitionalCganOptions(preset="auto"), 128)
    assert (recipe.batch_size, recipe.group, recipe.ema_kimg) == (32, 4, 10)
    assert recipe.gamma == pytest.approx(0.0002 * 128**2 / 32)
    assert recipe_of(TransitionalCganOptions(preset="auto", batch_size=6), 64).group == 3  # groups fill a batch


@pytest.mark.parametrize(
    "options",
    [
        {"kimg": 3000},
        {"preset": "small", "transition_end_kimg": 100},
        {"preset": "small", "transition_end_kimg": 200},
        {"preset": "small", "transition_start_kimg": 60},
    ],
)
def test_a_transition_that_does_not_end_within_the_run_is_refused(options):
    with pytest.raises(ValidationError, match=r"transition_(start|end)_kimg"):
        TransitionalCganOptions(**options)
    TransitionalCganOptions(**options, conditioning="plain")  # which has none


def test_before_the_transition_the_conditional_head_gets_no_gradient():
    step, real, labels = beginning(micro(augmentation="none"))
    step(real, labels, 1)  # without a penalty, which would leave other gradients behind
    judge = step.discriminator
    for head in (judge.projection, judge.embed, judge.label_mapping):
        assert all(not parameter.grad.any() for parameter in head.parameters())
    assert judge.unconditional.weight_OI.grad.any()
    assert judge.from_pixels.weight_OIHW.grad.any()
    label_layers = (step.generator.mapping.embed, step.generator.mapping.label)
    assert all(not parameter.grad.any() for layer in label_layers for parameter in layer.parameters())
    assert step.generator.mapping.first.weight_OI.grad.any()


def test_after_the_transition_both_heads_and_the_labels_of_either_network_are_trained():
    step, real, labels = beginning(micro(augmentation="none"))
    step(real, labels, 7)  # 56 images: 0.056 kimg, after 0.032
    judge, mapping = step.discriminator, step.generator.mapping
    for layer in (judge.unconditional, judge.projection, judge.embed, mapping.embed, mapping.label):
        assert layer.weight_OI.grad.any()


def test_plain_conditioning_trains_the_conditional_head_alone_from_the_start():
    step, real, labels = beginning(micro(conditioning="plain", augmentation="none"))
    step(real, labels, 1)
    assert step.discriminator.projection.weight_OI.grad.any()
    assert step.discriminator.unconditional.weight_OI.grad is None


def test_utlo_weighs_its_two_losses_by_alpha():
    gradients = []
    for alpha in (1.0, 3.0):
        step, real, labels = beginning(micro(conditioning="utlo", augmentation="none", utlo_alpha=alpha))
        step.generator_adam.param_groups[0]["lr"] = 0.0  # the same images for the discriminator
        step(real, labels, 1)
        judge = step.discriminator
        gradients.append([head.weight_OI.grad for head in (judge.unconditional, judge.projection)])
    (of_image, of_label), (of_image_at_3, of_label_at_3) = gradients
    assert of_image.any()
    assert torch.allclose(of_image_at_3, of_image * (3 / 4) / (1 / 2), rtol=1e-4)
    assert torch.allclose(of_label_at_3, of_label * (1 / 4) / (1 / 2), rtol=1e-4)


def test_the_gradient_penalty_of_a_linear_discriminator_is_half_gamma_times_its_squared_weight():
    weight = torch.randn(2 * 3 * 3)
    images = torch.randn(5, 2, 3, 3).requires_grad_()
    penalty = r1_penalty(images.flatten(1) @ weight, images, gamma=0.7)
    assert penalty.item() == pytest.approx(0.35 * weight.square().sum().item())


@pytest.mark.parametrize(
    ("conditioning", "penalised", "spared"),
    [("transitional", "unconditional", "projection"), ("plain", "projection", "unconditional")],
)
def test_the_gradient_penalty_is_of_one_head_and_comes_every_16th_batch(conditioning, penalised, spared):
    step, real, labels = beginning(micro(conditioning=conditioning))
    step(real, labels, 16)  # the penalty comes last: its gradients are what is left
    assert getattr(step.discriminator, penalised).weight_OI.grad.any()
    assert getattr(step.discriminator, spared).weight_OI.grad is None
    assert step.discriminator.unconditional.bias_O.grad is None  # no slope of a logit depends on a bias of it


@pytest.mark.parametrize(("conditioning", "sign"), [("transitional", 1.0), ("plain", 0.0), ("utlo", 0.0)])
def test_adaptive_augmentation_goes_by_the_logit_that_the_conditioning_trains_first(conditioning, sign):
    step, real, labels = beginning(micro(conditioning=conditioning))
    judge = step.discriminator
    with torch.no_grad():
        judge.unconditional.weight_OI.zero_()
        judge.unconditional.bias_O.fill_(5)  # u = 5
        judge.projection.weight_OI.zero_()  # q = 0
    step(real, labels, 1)
    assert step.adaptive.sign_sum.item() == sign


def test_gradients_that_are_not_finite_are_replaced():
    layer = nn.Linear(4, 1, bias=False)
    adam = torch.optim.Adam(layer.parameters())
    layer.weight.grad = torch.tensor([[float("nan"), float("inf"), -float("inf"), 2.0]])
    make_finite(adam)
    assert layer.weight.grad.tolist() == [[0, 1e5, -1e5, 2]]


def test_lazy_penalties_shorten_the_steps_and_memories_of_adam():
    step, _, _ = beginning(micro())
    for adam, interval in ((step.generator_adam, 4), (step.discriminator_adam, 16)):
        share = interval / (interval + 1)
        group = adam.param_groups[0]
        assert group["lr"] == pytest.approx(0.0025 * share)
        assert group["betas"] == pytest.approx((0, 0.99**share))
        assert group["eps"] == 1e-8


def test_the_average_follows_with_a_half_life_that_grows_with_the_images_shown():
    options = micro(augmentation="none")
    step, real, labels = beginning(options)
    before = step.averaged.synthesis.constant_CHW.clone()
    step(real, labels, 500)  # 4,008 images by then: a half-life of 200.4, less than the preset's 500
    decay = 0.5 ** (8 / (0.05 * 4008))
    expected = torch.lerp(step.generator.synthesis.constant_CHW, before, decay)
    assert torch.allclose(step.averaged.synthesis.constant_CHW, expected, atol=1e-6)
    assert step.generator.mapping.mean_D.any()
    assert torch.equal(step.averaged.mapping.mean_D, step.generator.mapping.mean_D)  # buffers are copied


def test_auto_mixes_latents_and_penalises_path_lengths_every_fourth_batch(monkeypatch):
    options = TransitionalCganOptions(preset="auto", channel_base=64, batch_size=4, augmentation="none")
    step, real, labels = beginning(options)
    seen = []
    forward = type(step.generator.synthesis).forward
    monkeypatch.setattr(
        type(step.generator.synthesis), "forward", lambda own, w, noise: seen.append(w) or forward(own, w, noise)
    )
    step(real, labels, 1)
    assert step.path_length_mean.item() == 0
    step(real, labels, 4)
    assert step.path_length_mean.item() > 0
    assert [len(w_BLD) for w_BLD in seen] == [4, 4, 4, 2, 4]  # the penalty takes half a batch
    assert any((w_BLD[:, 0] != w_BLD[:, -1]).any() for w_BLD in seen)
    assert all(torch.isfinite(parameter).all() for parameter in step.generator.parameters())


def test_a_rare_and_a_frequent_kind_of_images_are_learnt_and_told_apart(tmp_path):
    # Bright above and dark below, or the other way round.
    rng = np.random.default_rng(0)
    labels_N = np.repeat([0, 1], [48, 16])
    above_NH = (np.arange(16) < 8) == (labels_N == 0)[:, None]
    images_NHW = np.where(above_NH[:, :, None], 200, 50) + rng.integers(-20, 20, (64, 16, 16))
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
    is_below = images.images_NCHW[:, 0, :8].mean(axis=(1, 2)) < images.images_NCHW[:, 0, 8:].mean(axis=(1, 2))
    assert is_below.mean() > 0.8  # a generator that knows no labels: 0.25


def snapshots(tmp_path, monkeypatch, distances, **options):
    """Train with these distances; return generator.json, the curves, and the averages when each was taken."""
    states = []
    scores = iter(distances)

    def distance(self, make):
        make(torch.zeros(1, dtype=torch.int64), torch.Generator())
        return next(scores)

    made_images = transitional_cgan_training.made_images

    def noting(generator, labels, random):
        states.append({name: value.clone() for name, value in generator.state_dict().items()})
        return made_images(generator, labels, random)

    monkeypatch.setattr(SnapshotJudge, "distance", distance)
    monkeypatch.setattr(transitional_cgan_training, "made_images", noting)
    TransitionalCgan(micro(**options)).train_generator(tiny_training_set(), synthesis_context(tmp_path))
    artefacts = tmp_path / "artefacts"
    return (
        json.loads((artefacts / "generator.json").read_text()),
        json.loads((artefacts / "curves.json").read_text())["curves"],
        states,
        load_file(artefacts / "generator.safetensors"),
    )


def test_the_snapshot_of_lowest_distance_after_the_transition_makes_the_images(tmp_path, monkeypatch):
    options = {"kimg": 0.08, "transition_end_kimg": 0.032, "snapshot_kimg": 0.016}
    facts, curves, states, weights = snapshots(tmp_path, monkeypatch, [7.0, 3.0, 5.0, 4.0], **options)
    assert [row.get("fid") for row in curves] == [None, 7, 3, 5, 4]  # none while labels count in part
    assert [row["label_strength"] for row in curves] == [0, 1, 1, 1, 1]
    assert facts["snapshot"] == {"kimg": 0.048, "fid": 3}
    assert all(torch.equal(states[1][name], value) for name, value in weights.items())
    assert any(not torch.equal(states[3][name], value) for name, value in weights.items())


def test_a_run_ends_after_so_many_snapshots_without_gain(tmp_path, monkeypatch):
    options = {"kimg": 0.8, "snapshot_kimg": 0.016, "patience": 2}
    facts, curves, _, _ = snapshots(tmp_path, monkeypatch, [7.0, 3.0, 5.0, 4.0], **options)
    assert len(curves) == 5
    assert facts["snapshot"]["fid"] == 3


def test_distances_are_of_the_same_noise_at_every_snapshot_and_0_of_the_kept_images_themselves():
    images = torch.from_numpy(np.array(tiny_training_set((30, 10)).images_NCHW))
    labels = torch.arange(40) % 2
    judge = SnapshotJudge(load_features("pixels", torch.device("cpu")), images, labels, judged_images=40, seed=3)
    drawn = []

    def kept(labels_B, random):
        drawn.append((labels_B.tolist(), torch.rand(3, generator=random).tolist()))
        return images

    assert judge.distance(kept) == pytest.approx(0, abs=1e-3)
    assert judge.distance(lambda labels_B, random: kept(labels_B, random) // 2) > 1
    assert drawn[0] == drawn[1]
    assert len(transitional_cgan_snapshots._pixels(images)[0]) == 64


class StopError(Exception):
    """An interruption."""


@pytest.mark.parametrize(
    ("options", "stops"),
    [
        ({"kimg": 0.056}, (3, 6)),  # seven batches: signs of three are summed up when it ends
        ({"conditioning": "utlo", "augmentation": "none", "mirror": True, "asked_labels": "uniform"}, (5,)),
        ({"preset": "auto", "channel_base": 64, "batch_size": 4, "conditioning": "plain", "kimg": 0.012}, (1,)),
    ],
)
def test_an_interrupted_training_ends_bit_for_bit_where_it_would_have_ended(options, stops, tmp_path):
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


def test_a_class_without_images_is_refused_when_drawn_and_a_class_of_one_image_is_not(tmp_path):
    balancer, context = TransitionalCgan(micro()), synthesis_context(tmp_path)
    balancer.train_generator(tiny_training_set((12, 1, 0)), context)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    assert generator.draw(np.array([1, 0]), torch.Generator()).shape == (2, 1, 16, 16)
    with pytest.raises(BalancerError, match="class 'class 2' had no images for the GAN to learn from"):
        generator.draw(np.array([0, 2]), torch.Generator())


def test_truncation_0_draws_one_image_and_1_draws_as_trained(tmp_path):
    context = synthesis_context(tmp_path)
    TransitionalCgan(micro()).train_generator(tiny_training_set(), context)
    labels = np.array([0, 1, 2, 0])

    def drawn(truncation):
        balancer = TransitionalCgan(micro(truncation=truncation))
        return balancer.restore_generator(context.artefacts, "cpu").draw(labels, torch.Generator().manual_seed(0))

    assert (drawn(0.0) == drawn(0.0)[0]).all()
    assert (drawn(1.0) != drawn(1.0)[0]).any()
    assert (drawn(0.5) != drawn(1.0)).any()


def test_images_are_padded_by_their_border_and_cut_out_again():
    images = torch.randint(0, 256, (3, 2, 28, 21), dtype=torch.uint8)
    wide = padded(ResidentImages(images_NCHW=images, labels_N=torch.zeros(3, dtype=torch.int64)), 32).images_NCHW
    assert wide.shape == (3, 2, 32, 32)
    assert torch.equal(cut_to(wide, 28, 21), images)
    assert torch.equal(wide[:, :, 0, 5:26], images[:, :, 0])
    assert torch.equal(wide[:, :, 2:30, -1], images[:, :, :, -1])


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


def test_inception_is_asked_for_where_it_is_needed_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataError, match="inception"):
        TRANSITIONAL_CGAN.ready(micro(features="inception"))
    assert "Inception" in TRANSITIONAL_CGAN.outside_data(micro(features="inception"))
    for options in (micro(), micro(features="inception", checkpoint="last")):
        TRANSITIONAL_CGAN.ready(options)
        assert TRANSITIONAL_CGAN.outside_data(options) is None


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


def test_adaptive_augmentation_changes_made_and_real_images(monkeypatch):
    changed = []
    call = AdaptiveAugmentation.__call__

    def noting(self, images_BCHW, random):
        changed.append(images_BCHW.requires_grad)
        return call(self, images_BCHW, random)

    monkeypatch.setattr(AdaptiveAugmentation, "__call__", noting)
    step, real, labels = beginning(micro())
    step(real, labels, 16)
    assert changed == [True, False, False, True]  # G's images; D's; the real ones; the penalty's
