"""The networks of transitional_cgan are StyleGAN2's: sizes, modulation, low pass, minibatch deviation, labels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from balancebench_gmaug import stylegan2_layers
from balancebench_gmaug.stylegan2 import Discriminator, Generator, Shape
from balancebench_gmaug.stylegan2_layers import (
    EqualisedConv,
    EqualisedLinear,
    ModulatedConv,
    blurred,
    minibatch_deviation,
    unit_second_moment,
    upsampled,
)
from balancebench_gmaug.transitional_cgan_options import TransitionalCganOptions, recipe_of


def millions(*modules):
    return round(sum(parameter.numel() for module in modules for parameter in module.parameters()) / 1e6, 2)


@pytest.mark.parametrize(
    ("preset", "channel_base", "side", "generator", "discriminator"),
    [
        ("cifar", None, 32, 20.26, 23.14),
        ("auto", None, 64, 22.56, 25.82),
        ("auto", 32_768, 64, 25.77, 28.90),
        ("auto", None, 128, 23.26, 26.30),
        ("auto", 32_768, 128, 28.07, 30.80),
    ],
)
def test_the_presets_have_as_many_parameters_as_stylegan2_ada(preset, channel_base, side, generator, discriminator):
    recipe = recipe_of(TransitionalCganOptions(preset=preset, channel_base=channel_base), side)
    shape = Shape(side=side, channels=3, class_count=100)
    with torch.device("meta"):
        networks = Generator(recipe, shape, "plain"), Generator(recipe, shape, "transitional")
        judge = Discriminator(recipe, shape)
    # 512 more where the label is added: a bias of its own.
    assert [millions(network) for network in networks] == [generator, generator]
    assert millions(judge) == discriminator
    assert millions(judge.embed, judge.label_mapping) == 2.15


def modulated(double):
    torch.manual_seed(0)
    layer = ModulatedConv(5, 7, 6, double=double, noisy=False)
    layer.bias_O.data.normal_()
    return layer, torch.randn(3, 5, 8, 8), torch.randn(3, 6)


def low_pass_by_hand(image_CHW, padding, gain):
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    padded = F.pad(image_CHW, (padding,) * 4)
    size = padded.shape[-1] - 3
    return gain * sum(taps[i] * taps[j] * padded[:, i : i + size, j : j + size] for i in range(4) for j in range(4))


@pytest.mark.parametrize("double", [False, True])
def test_a_modulated_convolution_equals_the_loop_over_images(double):
    layer, images_BCHW, latents_BD = modulated(double)
    result_BCHW = layer(images_BCHW, latents_BD, None)
    style_BI = latents_BD @ layer.style.weight_OI.t() / 6**0.5 + 1
    for image_CHW, style_I, result_CHW in zip(images_BCHW, style_BI, result_BCHW, strict=True):
        weight_OIHW = layer.weight_OIHW / 45**0.5 * style_I[:, None, None]
        weight_OIHW = weight_OIHW / weight_OIHW.square().sum(dim=(1, 2, 3), keepdim=True).add(1e-8).sqrt()
        if double:
            wide_CHW = F.conv_transpose2d(image_CHW, weight_OIHW.transpose(0, 1), stride=2)
            expected_CHW = low_pass_by_hand(wide_CHW, 1, 4)
        else:
            expected_CHW = F.conv2d(image_CHW, weight_OIHW, padding=1)
        expected_CHW = F.leaky_relu(expected_CHW + layer.bias_O[:, None, None], 0.2) * 2**0.5
        assert result_CHW.shape == expected_CHW.shape
        assert (result_CHW - expected_CHW).abs().max() < 1e-5


def test_demodulated_weights_have_unit_norm():
    layer, _, latents_BD = modulated(double=False)
    style_BI = layer.style(latents_BD)
    scale_BO = layer.demodulation(style_BI, layer.weight_OIHW)
    weights = layer.weight_OIHW[None] * style_BI[:, None, :, None, None] * scale_BO[:, :, None, None, None]
    assert weights.square().sum(dim=(2, 3, 4)).sqrt().detach() == pytest.approx(torch.ones(3, 7), abs=1e-5)


def test_upsampling_a_constant_returns_it_in_the_interior():
    doubled = upsampled(torch.full((2, 3, 6, 6), 0.7))
    assert doubled.shape == (2, 3, 12, 12)
    assert doubled[:, :, 1:-1, 1:-1] == pytest.approx(torch.full((2, 3, 10, 10), 0.7))
    assert (doubled[:, :, 0] < 0.6).all()  # beyond the border lies 0


def test_the_low_pass_is_that_of_the_binomial_taps():
    image_CHW = torch.randn(2, 9, 9)
    assert blurred(image_CHW[None], 2, 1.5)[0] == pytest.approx(low_pass_by_hand(image_CHW, 2, 1.5), abs=1e-6)


def test_layers_of_any_learning_rate_begin_with_outputs_of_the_same_size():
    torch.manual_seed(0)
    values = torch.randn(4000, 64)
    for multiplier in (1.0, 0.01):
        layer = EqualisedLinear(64, 32, bias=0.5, multiplier=multiplier)
        assert layer.weight_OI.std().item() == pytest.approx(1 / multiplier, rel=0.05)
        result = layer(values)
        assert (result - 0.5).std().item() == pytest.approx(1, rel=0.06)
        assert result.mean().item() == pytest.approx(0.5, abs=0.05)
    convolved = EqualisedConv(16, 32, 3, activated=False)(torch.randn(8, 16, 12, 12))[:, :, 1:-1, 1:-1]
    assert convolved.std().item() == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize("size", [1, 3])
def test_halving_blurs_and_takes_every_second_pixel(size):
    layer = EqualisedConv(2, 3, size, half=True, activated=False)
    images = torch.randn(1, 2, 8, 8)
    soft_CHW = low_pass_by_hand(images[0], (size + 1) // 2, 1)
    expected = F.conv2d(soft_CHW[None], layer.weight_OIHW / (2 * size**2) ** 0.5, stride=2)
    assert expected.shape[2:] == (4, 4)
    assert layer(images).detach() == pytest.approx(expected.detach(), abs=1e-5)


def test_minibatch_deviation_of_equal_images_is_1e_4():
    images = torch.randn(1, 3, 4, 4).expand(8, -1, -1, -1)
    result = minibatch_deviation(images, 4)
    assert result.shape == (8, 4, 4, 4)
    assert torch.equal(result[:, :3], images)
    assert result[:, 3] == pytest.approx(torch.full((8, 4, 4), 1e-4), rel=1e-3)


def test_minibatch_deviation_looks_at_the_images_of_a_group_alone():
    first, second = torch.randn(4, 3, 4, 4), torch.randn(4, 3, 4, 4) * 5
    both = minibatch_deviation(torch.cat([first, second]), 4)
    assert torch.equal(both[:4], minibatch_deviation(first, 4))
    expected = (second.var(dim=0, correction=0) + 1e-8).sqrt().mean()
    assert both[4:, 3] == pytest.approx(expected.expand(4, 4, 4), rel=1e-5)


def test_vectors_are_divided_by_the_root_of_their_mean_square():
    scaled = unit_second_moment(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    assert scaled[0] == pytest.approx(torch.tensor([3.0, 4.0]) / 12.5**0.5)
    assert scaled[1].tolist() == [0, 0]


def micro(conditioning, side=16, **options):
    torch.manual_seed(1)
    recipe = recipe_of(TransitionalCganOptions(preset="micro", conditioning=conditioning, **options), side)
    shape = Shape(side=side, channels=1, class_count=3)
    return Generator(recipe, shape, conditioning), Discriminator(recipe, shape, reads_low=conditioning == "utlo")


def of_two_labels(generator, strength):
    noise_BD = torch.randn(4, generator.latent_size)
    with torch.no_grad():
        return [
            generator.synthesis(
                generator.latents(noise_BD, torch.full((4,), label), torch.tensor(strength)), generator.noise(4, None)
            )
            for label in (0, 2)
        ]


def test_images_do_not_depend_on_labels_at_strength_0_and_do_at_1():
    generator, _ = micro("transitional")
    without, other_without = of_two_labels(generator, 0.0)
    assert torch.equal(without.images_BCHW, other_without.images_BCHW)
    with_label, with_other = of_two_labels(generator, 1.0)
    assert (with_label.images_BCHW - with_other.images_BCHW).abs().max() > 1e-3


def test_plain_images_depend_on_labels_at_any_strength():
    generator, _ = micro("plain")
    first, second = of_two_labels(generator, 0.0)
    assert (first.images_BCHW - second.images_BCHW).abs().max() > 1e-3


def test_utlo_layers_up_to_8x8_do_not_depend_on_labels_and_the_others_do():
    generator, _ = micro("utlo", side=32)
    first, second = of_two_labels(generator, 1.0)
    assert first.low_BCHW.shape[2:] == (8, 8)
    assert torch.equal(first.low_BCHW, second.low_BCHW)
    assert (first.images_BCHW - second.images_BCHW).abs().max() > 1e-3


def test_the_logit_of_an_image_does_not_depend_on_its_label_and_that_of_both_does():
    _, discriminator = micro("transitional")
    images = torch.randn(4, 1, 16, 16)
    first, second = (discriminator(images, torch.full((4,), label)) for label in (0, 2))
    assert torch.equal(first.u_B, second.u_B)
    assert (first.q_B - second.q_B).abs().max() > 1e-4


def test_batches_side_by_side_have_the_logits_that_they_have_alone():
    _, discriminator = micro("transitional")
    images, labels = torch.randn(8, 1, 16, 16), torch.arange(8) % 3
    both = discriminator(images, labels)
    for part in (slice(0, 4), slice(4, 8)):
        alone = discriminator(images[part], labels[part])
        assert both.u_B[part].tolist() == pytest.approx(alone.u_B.tolist(), abs=1e-5)
        assert both.q_B[part].tolist() == pytest.approx(alone.q_B.tolist(), abs=1e-5)


@pytest.mark.parametrize("side", [16, 64])
def test_an_8x8_image_enters_the_discriminator_at_its_side(side):
    _, discriminator = micro("utlo", side)
    assert discriminator(torch.randn(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64), low=True).u_B.shape == (4,)


def test_networks_that_first_drew_in_inference_mode_can_be_trained():
    generator, _ = micro("transitional")
    stylegan2_layers._kernel.cache_clear()
    noise_BD, labels_B, one = torch.randn(4, generator.latent_size), torch.zeros(4, dtype=torch.int64), torch.ones(())
    with torch.inference_mode():
        generator.synthesis(generator.latents(noise_BD, labels_B, one), [])
    generator.synthesis(generator.latents(noise_BD, labels_B, one), []).images_BCHW.sum().backward()
    assert generator.synthesis.constant_CHW.grad.any()
