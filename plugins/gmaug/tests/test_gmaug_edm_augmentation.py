"""EDM's augmentation: each change is what its labels say, images that keep theirs are exact, and none is drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from balancebench.testing import synthesis_context, tiny_training_set
from balancebench_gmaug.diffusion_network import LabelledUNet
from balancebench_gmaug.diffusion_options import MICRO
from balancebench_gmaug.edm import Edm, edm_loss
from balancebench_gmaug.edm_augmentation import Changes, changed
from balancebench_gmaug.edm_options import EdmOptions

SMALL = {"preset": "micro", "batch_size": 4, "sampler_steps": 2, "steps": 2}
NOTHING = {
    "mirrored_B": 0.0, "upside_down_B": 0.0, "scale_B": 0.0, "angle_B": 0.0, "stretch_B": 0.0, "along_B": 0.0,
    "down_B": 0.0, "right_B": 0.0,
}  # fmt: skip


def changes(count=1, **given):
    return Changes(**{name: torch.full((count,), given.get(name, value)) for name, value in NOTHING.items()})


def noise(count=1, height=16, width=16):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def test_an_image_of_which_nothing_is_changed_keeps_its_pixels_exactly_and_has_labels_of_0():
    nothing = changes(4, along_B=1.0)  # the direction of no stretch
    assert torch.equal(changed(noise(4), nothing), noise(4))
    assert torch.equal(nothing.labels_BL, torch.zeros(4, 9))


@pytest.mark.parametrize(("name", "axis"), [("mirrored_B", 3), ("upside_down_B", 2)])
def test_flips_are_exact_their_own_inverse_and_told(name, axis):
    flips = changes(2, **{name: 1.0})
    once = changed(noise(2), flips)
    assert torch.equal(once, noise(2).flip(axis))
    assert torch.equal(changed(once, flips), noise(2))
    assert flips.labels_BL.tolist() == [[float(name == "mirrored_B"), float(name == "upside_down_B"), *[0.0] * 7]] * 2


def blob(row, column, height=32, width=32):
    """A round spot of deviation 2 whose middle lies (row, column) off the image's."""
    rows = torch.arange(height)[:, None] - (height - 1) / 2 - row
    columns = torch.arange(width)[None] - (width - 1) / 2 - column
    return (-(rows**2 + columns**2) / 8).exp()[None, None]


def moments(image):
    """Return where the middle of a spot lies off the image's, and its deviations along rows and columns."""
    weight_HW = image[0, 0].clamp(min=0) / image[0, 0].clamp(min=0).sum()
    positions = [torch.arange(size) - (size - 1) / 2 for size in weight_HW.shape]
    along = [weight_HW.sum(dim=1), weight_HW.sum(dim=0)]
    middle = [float((position * share).sum()) for position, share in zip(positions, along, strict=True)]
    spread = [
        float(((position - centre) ** 2 * share).sum().sqrt())
        for position, share, centre in zip(positions, along, middle, strict=True)
    ]
    return (*middle, *spread)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"down_B": 1.0}, (5 + 32 / 8, -3, 2, 2)),
        ({"right_B": -1.0}, (5, -3 - 32 / 8, 2, 2)),
        ({"scale_B": 1.0}, tuple(2**0.2 * value for value in (5, -3, 2, 2))),
        ({"scale_B": -1.0}, tuple(2**-0.2 * value for value in (5, -3, 2, 2))),
        ({"angle_B": math.pi / 2}, (3, 5, 2, 2)),
        ({"angle_B": math.pi}, (-5, 3, 2, 2)),
        ({"stretch_B": 1.0}, (5 * 2**0.2, -3 * 2**-0.2, 2 * 2**0.2, 2 * 2**-0.2)),
        ({"stretch_B": 1.0, "along_B": math.pi / 2}, (5 * 2**-0.2, -3 * 2**0.2, 2 * 2**-0.2, 2 * 2**0.2)),
        ({"scale_B": 1.0, "right_B": 1.0}, (2**0.2 * 5, 2**0.2 * -3 + 4, 2 * 2**0.2, 2 * 2**0.2)),
    ],
)
def test_a_spot_goes_where_its_changes_send_it_and_becomes_as_large_as_they_say(given, expected):
    np.testing.assert_allclose(moments(changed(blob(5, -3), changes(**given))), expected, atol=0.08)


@pytest.mark.parametrize("name", ["scale_B", "angle_B", "stretch_B", "down_B", "right_B"])
def test_the_opposite_change_brings_the_image_back(name):
    image = blob(2, -2, height=32, width=40)
    there = changed(image, changes(**{name: 0.7}))
    assert (there - image).abs().max() > 0.1
    assert (changed(there, changes(**{name: -0.7})) - image).abs().max() < 0.03  # it was sampled twice


def test_the_labels_say_which_change_it_was_and_how_much_of_it():
    told = changes(scale_B=0.5, angle_B=math.pi / 2, stretch_B=2.0, along_B=math.pi, down_B=-1.0, right_B=0.25)
    expected = [0, 0, 0.5, -1, 1, -2, 0, -1, 0.25]
    np.testing.assert_allclose(told.labels_BL[0].numpy(), expected, atol=1e-6)


def test_each_change_comes_with_its_probability_alone_and_a_mirror_one_time_in_two():
    drawn = Changes.draw(20_000, 0.3, torch.Generator().manual_seed(0))
    names = ("mirrored_B", "upside_down_B", "scale_B", "angle_B", "stretch_B", "down_B")
    shares = {name: float((getattr(drawn, name) != 0).float().mean()) for name in names}
    expected = [0.5, 0.15, 0.3, 0.3, 0.3, 0.3]
    np.testing.assert_allclose(list(shares.values()), expected, atol=0.012)  # 3.5 standard errors
    scaled, turned = drawn.scale_B != 0, drawn.angle_B != 0
    assert float((scaled & turned).float().mean()) == pytest.approx(0.09, abs=0.008)
    assert torch.equal(drawn.down_B != 0, drawn.right_B != 0)
    assert float(drawn.scale_B[scaled].std()) == pytest.approx(1, abs=0.04)
    assert float(drawn.angle_B.abs().max()) == pytest.approx(math.pi, abs=0.01)


def test_without_augmentation_a_loss_draws_what_it_always_drew_and_tells_the_network_nothing_more():
    told = []

    def network(images_BCHW, *inputs):
        told.append(len(inputs))
        return 0.1 * images_BCHW

    images_BCHW, labels_B = noise(5), torch.arange(5)
    value = edm_loss(0.5, 5, 0.1, "fp32")(network, images_BCHW, labels_B, torch.Generator().manual_seed(1))
    random = torch.Generator().manual_seed(1)
    level_B = (-1.2 + 1.2 * torch.randn(5, generator=random)).exp()[:, None, None, None]
    noisy_BCHW = images_BCHW + level_B * torch.randn(images_BCHW.shape, generator=random)
    total_B = level_B**2 + 0.25
    denoised_BCHW = 0.25 / total_B * noisy_BCHW + level_B * 0.5 / total_B * 0.1 * noisy_BCHW
    expected = (total_B / (level_B * 0.5) ** 2 * (denoised_BCHW - images_BCHW) ** 2).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    assert told == [2]


def test_the_network_is_told_what_was_changed_of_the_images_that_it_denoises():
    seen = []

    def network(images_BCHW, times_B, labels_B, augmentation_BL):
        seen.append((images_BCHW, times_B, augmentation_BL))
        return torch.zeros_like(images_BCHW)

    images_BCHW = noise(64)
    edm_loss(0.5, 9, 0.0, "fp32", 0.4)(network, images_BCHW, torch.zeros(64).long(), torch.Generator().manual_seed(3))
    expected = Changes.draw(64, 0.4, torch.Generator().manual_seed(3))
    ((scaled_BCHW, times_B, told_BL),) = seen
    assert torch.equal(told_BL, expected.labels_BL)
    level_B = (4 * times_B).exp()[:, None, None, None]
    noise_BCHW = (scaled_BCHW * (level_B**2 + 0.25).sqrt() - changed(images_BCHW, expected)) / level_B
    assert noise_BCHW.std().item() == pytest.approx(1, abs=0.02)  # what is left is the noise: the image was that one
    assert noise_BCHW.mean().item() == pytest.approx(0, abs=0.02)


def trained(folder, **options):
    folder.mkdir()
    context = synthesis_context(folder)
    balancer = Edm(EdmOptions(**{**SMALL, **options}))
    balancer.train_generator(tiny_training_set(height=8, width=8), context)
    return balancer, context


def test_nothing_is_told_when_images_are_drawn(tmp_path, monkeypatch):
    balancer, context = trained(tmp_path / "training", augmentation=0.5, guidance=2.0)
    told, real_forward = [], torch.nn.Linear.forward

    def forward(self, values):
        if self.in_features == 9:
            told.append(values)
        return real_forward(self, values)

    monkeypatch.setattr(torch.nn.Linear, "forward", forward)
    generator = balancer.restore_generator(context.artefacts, "cpu")
    images = generator.draw(np.array([0, 1, 2]), torch.Generator().manual_seed(0))
    assert images.shape == (3, 1, 8, 8)
    assert told
    assert not any(values.any() for values in told)


def test_an_option_of_0_trains_the_network_that_there_was_and_more_trains_what_it_is_told(tmp_path):
    weights = {}
    for augmentation in (0.0, 0.5):
        _, context = trained(tmp_path / str(augmentation), augmentation=augmentation, ramp_images=0)
        weights[augmentation] = load_file(context.artefacts / "generator.safetensors")
    assert "unet.class_embedding.weight" in weights[0.0]
    assert not [name for name in weights[0.0] if "augmentation" in name]
    assert weights[0.5]["unet.class_embedding.augmentation.weight"].shape[1] == 9


def test_the_network_learns_from_what_it_is_told():
    torch.manual_seed(0)
    network = LabelledUNet(MICRO, 1, 3, augmentation_labels=9)
    torch.nn.init.normal_(network.unet.conv_out.weight)
    images_BCHW, labels_B = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 2, 1])
    edm_loss(0.5, 3, 0.1, "fp32", 0.9)(network, images_BCHW, labels_B, torch.Generator().manual_seed(0)).backward()
    of_labels = network.unet.class_embedding.augmentation.weight.grad.abs().sum(dim=0)
    assert (of_labels[2:] > 0).all()
