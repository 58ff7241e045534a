"""Networks, sizes and noise of diffusion models."""

from __future__ import annotations

import pytest
import torch

from balancebench_gmaug.diffusion_drawing import NoiseStreams, with_guidance
from balancebench_gmaug.diffusion_network import LabelledUNet, cropped, padded, padded_size
from balancebench_gmaug.diffusion_options import shape_of


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


def test_guidance_is_none_plus_scale_times_class_minus_none():
    def predict(images_BCHW, labels_B):
        return images_BCHW + torch.tensor([1.0, 10.0, 100.0])[labels_B].view(-1, 1, 1, 1)

    images_BCHW, labels_B = torch.zeros(2, 1, 1, 1), torch.tensor([0, 1])
    for scale, expected in ((0.0, [100, 100]), (1.0, [1, 10]), (3.0, [100 + 3 * (1 - 100), 100 + 3 * (10 - 100)])):
        assert with_guidance(predict, images_BCHW, labels_B, 2, scale).flatten().tolist() == expected
