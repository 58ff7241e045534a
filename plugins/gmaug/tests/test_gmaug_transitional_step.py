"""A step of transitional_cgan: labels blended in on time, and losses, penalties and averages as they should be."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from balancebench_gmaug.adaptive_augmentation import AdaptiveAugmentation
from balancebench_gmaug.stylegan2 import Discriminator, Generator, Shape
from balancebench_gmaug.transitional_cgan_options import TransitionalCganOptions, recipe_of
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
