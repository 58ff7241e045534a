"""Augmentation does to each image of a batch what torchvision's functions do to that image alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import (
    ColorJitter,
    InterpolationMode,
    RandomApply,
    RandomPerspective,
    RandomRotation,
    RandomSolarize,
)
from torchvision.transforms import functional as reference

from balancebench import BalancerError, LabelledImages, Origin
from balancebench.testing import synthesis_context
from balancebench_imagegen import augmentation
from balancebench_imagegen.augmentation import Augmentation, Draws, augment, corners
from balancebench_imagegen.options import AugmentationOptions


def photographs(count, channels, rows, columns, seed=0):
    """Smooth images with edges, so that hues and gradients of all kinds occur."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0, 255, (count, channels, 5, 4))).float()
    images = torch.nn.functional.interpolate(coarse, (rows, columns), mode="bicubic").clamp(0, 255)
    images[:, :, rows // 3 : rows // 2] = torch.from_numpy(rng.uniform(0, 255, (count, channels, 1, 1))).float()
    return images.round().to(torch.uint8)


def one_by_one(images, draws, threshold):
    """Torchvision on each image alone, with the same parameters."""
    start = corners(tuple(images.shape[2:])).astype(int).tolist()
    augmented = []
    for index, image in enumerate(images):
        jittered = image
        for step in ("hue", "brightness") if draws.hue_first_B[index] else ("brightness", "hue"):
            adjust = reference.adjust_hue if step == "hue" else reference.adjust_brightness
            jittered = adjust(jittered, float((draws.hue_B if step == "hue" else draws.brightness_B)[index]))
        fill = [0.0] * len(image)
        end = draws.corners_B42[index].astype(int).tolist()
        warped = reference.perspective(jittered, start, end, InterpolationMode.BILINEAR, fill)
        turned = reference.rotate(warped, float(draws.degrees_B[index]), InterpolationMode.NEAREST, fill=fill)
        augmented.append(reference.solarize(turned, threshold) if draws.solarized_B[index] else turned)
    return torch.stack(augmented)


@pytest.mark.parametrize(("channels", "rows", "columns"), [(3, 32, 32), (1, 28, 28), (3, 17, 30)])
@pytest.mark.parametrize("scale", ["0..1", "0..255"])
def test_each_image_is_what_torchvision_makes_of_it_alone(channels, rows, columns, scale):
    options = AugmentationOptions(threshold_scale=scale)
    images = photographs(60, channels, rows, columns)
    draws = Draws.draw(np.random.default_rng(3), 60, (rows, columns), options)
    augmented = augment(images, draws, threshold=options.threshold_levels)
    expected = one_by_one(images, draws, options.threshold_levels)
    # Sums are taken in another order: a value may fall on the other side of a rounding, or of the threshold.
    apart = (augmented.int() - expected.int()).abs()
    assert (apart > 1).float().mean() < 1e-3
    assert (apart > 0).float().mean() < 0.02


def only(**given):
    neutral = {"brightness": 0.0, "hue": 0.0, "distortion": 0.0, "rotation_degrees": (0.0, 0.0)}
    return AugmentationOptions(**{**neutral, "solarize_probability": 0.0, **given})


def test_with_every_transform_off_images_stay_as_they_are():
    images = photographs(8, 3, 32, 32)
    draws = Draws.draw(np.random.default_rng(0), 8, (32, 32), only())
    assert torch.equal(augment(images, draws, threshold=191.25), images)


def test_the_authors_threshold_inverts_everything_but_black_and_the_papers_the_bright():
    levels = torch.tensor([0, 1, 100, 191, 192, 255], dtype=torch.uint8).view(1, 1, 2, 3)
    options = only(solarize_probability=1.0)
    draws = Draws.draw(np.random.default_rng(0), 1, (2, 3), options)
    assert augment(levels, draws, threshold=options.threshold_levels).flatten().tolist() == [0, 1, 100, 191, 63, 0]
    authors = only(solarize_probability=1.0, threshold_scale="0..255")
    assert augment(levels, draws, threshold=authors.threshold_levels).flatten().tolist() == [0, 254, 155, 64, 63, 0]


def test_parameters_are_drawn_from_the_ranges_that_torchvision_draws_from():
    options, count, size = AugmentationOptions(), 4000, (20, 32)
    draws = Draws.draw(np.random.default_rng(1), count, size, options)
    torch.manual_seed(0)
    theirs = [RandomPerspective.get_params(32, 20, 0.2)[1] for _ in range(2000)]
    assert draws.corners_B42.min(0).tolist() == np.min(theirs, axis=0).tolist()
    assert draws.corners_B42.max(0).tolist() == np.max(theirs, axis=0).tolist()
    assert draws.corners_B42.mean(0) == pytest.approx(np.mean(theirs, axis=0), abs=0.15)
    jitter = ColorJitter(brightness=0.5, hue=0.3)
    params = [ColorJitter.get_params(jitter.brightness, None, None, jitter.hue) for _ in range(2000)]
    assert draws.brightness_B.mean() == pytest.approx(np.mean([drawn[1] for drawn in params]), abs=0.03)
    assert draws.brightness_B.std() == pytest.approx(np.std([drawn[1] for drawn in params]), abs=0.03)
    assert draws.hue_B.std() == pytest.approx(np.std([drawn[4] for drawn in params]), abs=0.02)
    hue_first = np.mean([drawn[0].tolist().index(3) < drawn[0].tolist().index(0) for drawn in params])
    assert draws.hue_first_B.mean() == pytest.approx(hue_first, abs=0.05)
    angles = [RandomRotation.get_params([0.0, 180.0]) for _ in range(2000)]
    assert draws.degrees_B.mean() == pytest.approx(np.mean(angles), abs=5)
    assert draws.solarized_B.mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("draws", "share"), [("once", 1 / 2), ("twice", 1 / 4)])
def test_a_half_is_solarized_as_the_text_says_and_a_quarter_as_the_authors_transforms_did(draws, share):
    count = 20_000
    images_BCHW = torch.full((count, 1, 2, 2), 200, dtype=torch.uint8)
    given = only(solarize_probability=0.5, solarize_draws=draws)
    drawn = Draws.draw(np.random.default_rng(5), count, (2, 2), given)
    solarized = augment(images_BCHW, drawn, threshold=given.threshold_levels)[:, 0, 0, 0] == 55
    assert solarized.float().mean().item() == pytest.approx(share, abs=0.015)  # over four standard errors
    if draws == "twice":
        torch.manual_seed(0)
        authors = RandomApply([RandomSolarize(0.75 * 255)], p=0.5)
        theirs = torch.stack([authors(image) for image in images_BCHW[:4000]])[:, 0, 0, 0] == 55
        assert theirs.float().mean().item() == pytest.approx(share, abs=0.03)


def test_drawing_solarization_twice_leaves_every_other_parameter_as_it_is():
    once, twice = (
        Draws.draw(np.random.default_rng(2), 50, (8, 8), AugmentationOptions(solarize_draws=draws))
        for draws in ("once", "twice")
    )
    for name in ("brightness_B", "hue_B", "hue_first_B", "corners_B42", "degrees_B"):
        assert np.array_equal(getattr(once, name), getattr(twice, name))
    assert (twice.solarized_B <= once.solarized_B).all()
    assert (twice.solarized_B < once.solarized_B).any()


@pytest.fixture
def train():
    labels_N = np.repeat(np.array([0, 1, 2]), [30, 4, 7])
    images_NCHW = photographs(41, 3, 16, 16).numpy()
    images_NCHW[30:34] = 0  # class 1 is black
    return LabelledImages(images_NCHW=images_NCHW, labels_N=labels_N, class_names=("a", "b", "c"))


def test_classes_grow_to_the_largest_from_their_own_images(train, tmp_path):
    synthetic = Augmentation(AugmentationOptions(solarize_probability=0.0)).synthesise(
        train, synthesis_context(tmp_path)
    )
    assert synthetic.counts_K.tolist() == [0, 26, 23]
    assert (synthetic.origins_N == Origin.AUGMENTED).all()
    assert (synthetic.images_NCHW[synthetic.labels_N == 1] == 0).all()
    images = synthetic.images_NCHW[synthetic.labels_N == 2]
    assert len({image.tobytes() for image in images}) == len(images)  # each drawn for itself


def test_each_image_names_the_one_that_was_changed(train, tmp_path, monkeypatch):
    monkeypatch.setattr(augmentation, "BATCH_PIXELS", 16 * 16 * 5)  # several batches
    synthetic = Augmentation(only()).synthesise(train, synthesis_context(tmp_path))
    np.testing.assert_array_equal(synthetic.images_NCHW, train.images_NCHW[synthetic.parents.first_N])
    assert (synthetic.parents.second_N == -1).all()


def test_a_class_without_images_is_refused_by_name(train, tmp_path):
    emptied = train.take(np.flatnonzero(train.labels_N != 1))
    with pytest.raises(BalancerError, match="class 'b' has no images"):
        Augmentation(AugmentationOptions()).synthesise(emptied, synthesis_context(tmp_path))


def test_a_threshold_on_the_wrong_scale_is_refused():
    with pytest.raises(ValueError, match=r'above 1 needs threshold_scale = "0..255"'):
        AugmentationOptions(solarize_threshold=128)
