from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from balancebench.training.augment import AUGMENTATIONS, crop_at, flip_where, random_crop, random_crop_flip
from balancebench.training.options import TrainingOptions


@pytest.fixture
def batch():
    return torch.randint(0, 256, (64, 3, 16, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_the_registry_holds_what_the_option_allows():
    assert set(get_args(TrainingOptions.model_fields["augmentation"].annotation)) == set(AUGMENTATIONS)


def test_cropping_equals_torchvision_on_each_image(batch, generator):
    top = torch.randint(0, 5, (64,), generator=generator)
    left = torch.randint(0, 7, (64,), generator=generator)

    cropped = crop_at(batch, top, left, 12, 18)

    for index in range(64):
        expected = reference.crop(batch[index], int(top[index]), int(left[index]), 12, 18)
        assert torch.equal(cropped[index], expected)


def test_flipping_equals_torchvision_on_each_image_chosen(batch):
    chosen = torch.arange(64) % 3 == 0

    flipped = flip_where(batch, chosen)

    for index in range(64):
        expected = reference.horizontal_flip(batch[index]) if chosen[index] else batch[index]
        assert torch.equal(flipped[index], expected)


def find_positions(image, crop):
    """Return every (top, left, flipped) of the padded image that gives the crop."""
    padded = reference.pad(image, [3, 2])  # an eighth of 24 columns and 16 rows
    candidates = [(top, left, False) for top in range(5) for left in range(7)]
    candidates += [(top, left, True) for top, left, _ in candidates]

    def cut(top, left, flipped):
        window = reference.crop(padded, top, left, 16, 24)
        return reference.horizontal_flip(window) if flipped else window

    return [candidate for candidate in candidates if torch.equal(cut(*candidate), crop)]


def test_each_image_gets_its_own_place_and_flip(batch, generator):
    augmented = random_crop_flip(batch, generator)

    positions_of_each = [find_positions(image, crop) for image, crop in zip(batch, augmented, strict=True)]

    assert all(len(positions) == 1 for positions in positions_of_each)
    positions = [position for (position,) in positions_of_each]
    assert len(set(positions)) > 30
    assert {top for top, _, _ in positions} == set(range(5))
    assert {left for _, left, _ in positions} == set(range(7))
    assert 20 <= sum(flipped for _, _, flipped in positions) <= 44


def test_crop_alone_never_flips(batch, generator):
    augmented = random_crop(batch, generator)

    assert not any(find_positions(image, crop)[0][2] for image, crop in zip(batch, augmented, strict=True))


def test_identical_images_are_augmented_differently(generator):
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(100, -1, -1, -1)

    assert len(np.unique(random_crop_flip(image, generator).numpy(), axis=0)) > 25


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_keeps_shape_dtype_and_its_input(name, batch, generator):
    before = batch.clone()

    augmented = AUGMENTATIONS[name](batch, generator)

    assert (augmented.shape, augmented.dtype) == (batch.shape, torch.uint8)
    assert torch.equal(batch, before)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_depends_on_its_generator_alone(name, batch):
    state = torch.get_rng_state()

    first, second = (AUGMENTATIONS[name](batch, torch.Generator().manual_seed(3)) for _ in range(2))

    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_images_too_small_to_pad_stay_whole(generator):
    tiny = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8, generator=generator)

    assert torch.equal(random_crop(tiny, generator), tiny)
