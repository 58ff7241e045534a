from __future__ import annotations

import numpy as np
import pytest
import torch

from balancebench import ClassifierError
from balancebench.training import normalise
from balancebench.training.normalise import channel_statistics, make_normaliser
from balancebench.training.options import ChannelStatistics


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    return rng.integers(0, [[[[256]], [[30]], [[200]]]], (50, 3, 9, 7)).astype(np.uint8)


def test_statistics_equal_numpy_in_float64(pixels):
    statistics = channel_statistics(torch.from_numpy(pixels))

    scaled = pixels.astype(np.float64) / 255
    np.testing.assert_allclose(statistics.mean, scaled.mean((0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(statistics.std, scaled.std((0, 2, 3)), rtol=1e-12)


def test_statistics_do_not_depend_on_chunks(pixels, monkeypatch):
    whole = channel_statistics(torch.from_numpy(pixels))
    monkeypatch.setattr(normalise, "READ_PIXELS", 2000)
    monkeypatch.setitem(normalise.SUMMED_PIXELS, "cpu", 500)

    assert channel_statistics(torch.from_numpy(pixels)) == whole


def test_a_channel_of_one_value_is_centred_but_not_scaled():
    black = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)

    assert channel_statistics(black) == ChannelStatistics(mean=(0.0,), std=(1.0,))


def test_training_images_come_out_with_mean_zero_and_deviation_one(pixels):
    normalised = make_normaliser("training_set", torch.from_numpy(pixels))(torch.from_numpy(pixels))

    assert normalised.dtype == torch.float32
    np.testing.assert_allclose(normalised.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std((0, 2, 3), correction=0), 1, atol=1e-5)


def test_half_maps_black_and_white_to_minus_one_and_one():
    extremes = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)

    np.testing.assert_allclose(make_normaliser("half", extremes)(extremes).flatten(), [-1, 1], atol=1e-6)


def test_given_values_are_used_as_torchvision_uses_them(pixels):
    from torchvision.transforms.v2.functional import normalize, to_dtype

    given = ChannelStatistics(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
    images = torch.from_numpy(pixels)

    expected = normalize(to_dtype(images, torch.float32, scale=True), list(given.mean), list(given.std))

    torch.testing.assert_close(make_normaliser(given, images)(images), expected, atol=1e-5, rtol=1e-5)


def test_given_values_must_fit_the_channels(pixels):
    with pytest.raises(ClassifierError, match="1 channels, but the images have 3"):
        make_normaliser(ChannelStatistics(mean=(0.5,), std=(0.5,)), torch.from_numpy(pixels))


def test_normalised_images_are_in_channels_last_order(pixels):
    normalised = make_normaliser("half", torch.from_numpy(pixels))(torch.from_numpy(pixels))

    assert normalised.is_contiguous(memory_format=torch.channels_last)
