"""Adaptive augmentation moves p by the discriminator's signs, and changes images as its distributions say."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from balancebench_gmaug import adaptive_augmentation
from balancebench_gmaug.adaptive_augmentation import AdaptiveAugmentation, sampled_bilinearly
from balancebench_gmaug.diff_augment import diff_augmented


def randomness(seed=0):
    return torch.Generator().manual_seed(seed)


def augmentation(p=0.0, batch_size=64, kimg=500.0):
    adaptive = AdaptiveAugmentation(target=0.6, kimg=kimg, batch_size=batch_size, device=torch.device("cpu"))
    adaptive.p.fill_(p)
    return adaptive


def smooth(count, channels, side=16):
    """Waves of long periods, which twice the side and back does not change much."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    phases = torch.rand(count, channels, 2, generator=randomness(1)) * 6
    return 0.5 * (
        torch.sin(rows / side * 3 + phases[..., 0, None, None])
        + torch.cos(columns / side * 3 + phases[..., 1, None, None])
    )


def test_p_rises_by_4_batches_in_500_kimg_where_all_signs_are_positive():
    adaptive = augmentation()
    for batch in range(8):
        assert adaptive.p.item() == pytest.approx((batch // 4) * 4 * 64 / 500_000)
        adaptive.observe(torch.full((64,), 2.0), batch)
    assert adaptive.p.item() == pytest.approx(2 * 4 * 64 / 500_000)


@pytest.mark.parametrize(("positive", "direction"), [(15, -1), (17, 1)])
def test_p_moves_towards_a_mean_sign_of_0_6(positive, direction):
    adaptive = augmentation(0.5, batch_size=20)
    signs = torch.cat([torch.ones(positive), -torch.ones(20 - positive)])  # their means: 0.5 and 0.7
    for batch in range(4):
        adaptive.observe(signs, batch)
    assert adaptive.p.item() == pytest.approx(0.5 + direction * 4 * 20 / 500_000)


@pytest.mark.parametrize(("logit", "end"), [(-1.0, 0.0), (1.0, 1.0)])
def test_p_stays_within_0_and_1(logit, end):
    adaptive = augmentation(0.5, kimg=0.1)
    for batch in range(16):
        adaptive.observe(torch.full((64,), logit), batch)
    assert adaptive.p.item() == end


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stay_as_they_are_at_p_0(channels):
    images = torch.randn(6, channels, 16, 16, generator=randomness())
    assert augmentation(0.0)(images, randomness()) == pytest.approx(images, abs=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_gets_changes_of_its_own_at_p_1(channels):
    images = smooth(1, channels).expand(16, -1, -1, -1)
    changed = augmentation(1.0)(images, randomness())
    assert changed.shape == images.shape
    distances = torch.pdist(changed.flatten(1))
    assert distances.min() > 0.5


def test_about_the_share_p_of_the_images_changes_its_geometry(monkeypatch):
    monkeypatch.setattr(adaptive_augmentation, "_pixel_moves", lambda images, p, random: images)
    monkeypatch.setattr(adaptive_augmentation, "_colour", lambda images, p, random: images)
    images = torch.randn(1, 1, 8, 8).expand(4000, -1, -1, -1)
    changed = augmentation(0.1)(images, randomness())
    share = (changed != images).flatten(1).any(dim=1).float().mean().item()
    assert share == pytest.approx(1 - 0.9**4, abs=0.03)  # scale, a turn in two halves, stretch, shift


def test_one_of_the_two_turns_happens_with_probability_p(monkeypatch):
    probabilities = []
    chosen = adaptive_augmentation._chosen

    def noting(count, p, random):
        probabilities.append(float(p))
        return chosen(count, p, random)

    monkeypatch.setattr(adaptive_augmentation, "_chosen", noting)
    adaptive_augmentation._geometry(torch.zeros(2, 1, 8, 8), torch.tensor(0.36), randomness())
    assert probabilities == pytest.approx([0.36, 0.2, 0.36, 0.2, 0.36])
    assert pytest.approx(0.36) == 1 - (1 - 0.2) ** 2


def test_moves_of_whole_pixels_turn_mirror_and_shift_by_an_eighth_at_most():
    position = torch.arange(256.0).view(1, 1, 16, 16).expand(300, -1, -1, -1)
    moved = adaptive_augmentation._pixel_moves(position, torch.tensor(1.0), randomness())
    neighbours = moved[:, 0, 8, 9] - moved[:, 0, 8, 8]
    assert set(neighbours.tolist()) == {1.0, -1.0, 16.0, -16.0}  # along and against rows and columns
    upright = moved[neighbours == 1][:, 0]
    down = upright[(upright[:, 9, 8] - upright[:, 8, 8]) == 16]
    rows, columns = down[:, 8, 8] // 16, down[:, 8, 8] % 16
    for source in (rows, columns):
        assert set(source.tolist()) == {6.0, 7.0, 8.0, 9.0, 10.0}  # an eighth of 16 is 2


def test_constant_images_stay_constant_under_moves_and_geometry():
    images = torch.full((32, 2, 16, 16), 0.3)
    moved = adaptive_augmentation._pixel_moves(images, torch.tensor(1.0), randomness())
    turned = adaptive_augmentation._geometry(moved, torch.tensor(1.0), randomness())
    assert turned == pytest.approx(images, abs=1e-5)


def test_twice_the_side_and_back_keeps_smooth_images():
    images = smooth(4, 3, side=32)
    back = adaptive_augmentation.halved(adaptive_augmentation.doubled(images))
    assert adaptive_augmentation.doubled(images).shape == (4, 3, 64, 64)
    assert (back - images)[:, :, 3:-3, 3:-3].abs().max() < 0.02


def test_positions_are_sampled_as_torch_samples_them_with_reflection():
    images = torch.randn(5, 2, 9, 9, generator=randomness())
    rows, columns = torch.rand(2, 5, 7, 7, generator=randomness(1)) * 24 - 8  # -8..16: up to one image beyond
    grid = torch.stack([columns, rows], dim=3) / 4 - 1
    expected = F.grid_sample(images, grid, padding_mode="reflection", align_corners=True)
    assert sampled_bilinearly(images, rows, columns) == pytest.approx(expected, abs=1e-5)


def test_colours_of_grey_images_stay_grey_and_change_alike_in_all_channels():
    grey = torch.randn(24, 1, 6, 6, generator=randomness())
    changed = adaptive_augmentation._colour(grey.expand(-1, 3, -1, -1), torch.tensor(1.0), randomness())
    alone = adaptive_augmentation._colour(grey, torch.tensor(1.0), randomness())
    for channel in range(3):
        assert changed[:, channel] == pytest.approx(alone[:, 0], abs=1e-4)
    slopes = (alone[:, 0, 0, 0] - alone[:, 0, 0, 1]) / (grey[:, 0, 0, 0] - grey[:, 0, 0, 1])
    assert (slopes < 0).any() and (slopes > 0).any()  # luma is mirrored in half of the images  # noqa: PT018


def test_hue_turns_about_the_axis_of_grey_colours(monkeypatch):
    monkeypatch.setattr(adaptive_augmentation, "_normal", lambda count, random: torch.zeros(count))
    chosen = iter([False, False, False, False, True, False])  # brightness, contrast, luma and its half, hue, saturation
    monkeypatch.setattr(adaptive_augmentation, "_chosen", lambda count, p, random: torch.full((count,), next(chosen)))
    monkeypatch.setattr(adaptive_augmentation, "_uniform", lambda count, random: torch.full((count,), 2 / 3))
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(2, -1, 4, 4)
    turned = adaptive_augmentation._colour(red, torch.tensor(1.0), randomness())
    assert turned[0, :, 0, 0] == pytest.approx(torch.tensor([0.0, 1.0, 0.0]), abs=1e-5)  # 120 degrees on: green


@pytest.mark.parametrize("change", ["ada", "diff_augment"])
def test_gradients_flow_through_the_changes_as_through_the_affine_map_that_they_are(change):
    images = torch.randn(8, 3, 16, 16, generator=randomness())
    direction, weight = torch.randn(2, 8, 3, 16, 16, generator=randomness(1))

    def changed(at):
        return augmentation(0.8)(at, randomness(2)) if change == "ada" else diff_augmented(at, randomness(2))

    leaf = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((changed(leaf) * weight).sum(), leaf, create_graph=True)
    along = ((changed(images + direction) - changed(images)) * weight).sum()
    assert (gradient * direction).sum().item() == pytest.approx(along.item(), rel=1e-3)
    leaf_weight = weight.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((changed(leaf) * leaf_weight).sum(), leaf, create_graph=True)
    gradient.square().sum().backward()  # the second derivative, which R1 needs
    assert leaf_weight.grad.abs().sum() > 0


def test_diff_augment_cuts_a_square_and_shifts_by_an_eighth_at_most():
    images = torch.full((400, 1, 16, 16), 5.0)
    changed = diff_augmented(images, randomness())
    black = (changed == 0).float().mean(dim=(1, 2, 3))
    assert black.max() <= 0.25 + 1 - (14 / 16) ** 2
    assert black.min() > 0
    assert black.mean().item() > 0.15
    centre = changed[:, 0, 8, 8]
    assert (centre == 0).float().mean().item() == pytest.approx(0.25, abs=0.07)


def test_diff_augment_draws_for_each_image_and_from_its_generator_alone():
    images = smooth(1, 3).expand(6, -1, -1, -1)
    changed = diff_augmented(images, randomness(3))
    assert torch.pdist(changed.flatten(1)).min() > 0.1
    assert torch.equal(changed, diff_augmented(images, randomness(3)))
