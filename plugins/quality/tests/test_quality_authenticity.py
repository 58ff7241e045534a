"""authpct and C_T: copies are found, fresh samples are not taken for copies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from balancebench import LabelledImages, Origin, Undefined
from balancebench_quality.blocks import nearest
from balancebench_quality.data_copying import copying_z, mann_whitney_z
from balancebench_quality.options import DataCopyingOptions
from balancebench_quality.plugin import METRICS

BY_NAME = {component.name: component for component in METRICS}


def measure(evaluation, name, **options):
    component = BY_NAME[name]
    return component.create(component.options(extractor="pixels", **options))(evaluation)


def gaussian(count, seed, origin=Origin.REAL, classes=1):
    """Images of 16 pixels, each normal around 128."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, 25, (count, 1, 4, 4)).clip(0, 255).round().astype(np.uint8)
    return LabelledImages(
        images_NCHW=pixels,
        labels_N=np.arange(count, dtype=np.int64) % classes,
        class_names=tuple("abc"[:classes]),
        origin_N=np.full(count, origin, dtype=np.uint8),
    )


def copies_of(images):
    return images.take(np.arange(len(images)), origin=Origin.SYNTHETIC)


def test_copies_are_not_authentic_and_far_points_are(evaluate):
    kept, test = gaussian(200, 0), gaussian(200, 1)
    assert measure(evaluate(kept=kept, test=test, synthetic=copies_of(kept)), "authpct") == 0.0
    far = copies_of(gaussian(200, 2))
    far.images_NCHW[:] = np.where(np.arange(16).reshape(4, 4) % 2, 255, 0)
    assert measure(evaluate(kept=kept, test=test, synthetic=far), "authpct") == 1.0


def test_fresh_samples_are_as_authentic_as_the_test_images(evaluate):
    kept, test = gaussian(1000, 0), gaussian(1000, 1)
    evaluation = evaluate(kept=kept, test=test, synthetic=gaussian(1000, 2, Origin.SYNTHETIC))
    value, beside = measure(evaluation, "authpct"), measure(evaluation, "authpct", of="test")
    assert abs(value - beside) < 0.07
    assert 0.55 < value < 0.78  # neither a half nor all: two thirds in sixteen dimensions


def test_equal_training_images_hide_no_copy(evaluate):
    kept = gaussian(50, 0)
    twice = kept.take(np.repeat(np.arange(50), 2))
    assert measure(evaluate(kept=twice, test=gaussian(50, 1), synthetic=copies_of(kept)), "authpct") == 0.0


def test_authenticity_is_told_by_class_though_neighbours_are_of_any(evaluate):
    kept, test = gaussian(120, 0, classes=2), gaussian(100, 1, classes=2)
    generated = gaussian(100, 2, Origin.SYNTHETIC, classes=2)
    of_first = np.flatnonzero(generated.labels_N == 0)
    generated.images_NCHW[of_first] = kept.images_NCHW[np.flatnonzero(kept.labels_N == 0)[: len(of_first)]]
    by_class = measure(evaluate(kept=kept, test=test, synthetic=generated), "authpct", per_class=True)
    assert by_class[0] == 0.0
    assert by_class[1] > 0.4


def test_one_training_image_tells_nothing(evaluate):
    evaluation = evaluate(kept=gaussian(1, 0), test=gaussian(5, 1), synthetic=gaussian(5, 2, Origin.SYNTHETIC))
    assert measure(evaluation, "authpct") == Undefined("there are fewer than 2 different training images")


def test_the_nearest_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    first, second = (rng.normal(0, 1, (count, 3)).astype(np.float32) for count in (30, 20))
    distances, indices = nearest(first, second, torch.device("cpu"))
    expected = np.linalg.norm(first[:, None].astype(float) - second[None], axis=2)
    np.testing.assert_array_equal(indices, expected.argmin(axis=1))
    np.testing.assert_allclose(distances, expected.min(axis=1), atol=1e-6)


def test_ranks_are_compared_as_scipy_does():
    from scipy.stats import mannwhitneyu, norm

    rng = np.random.default_rng(0)
    first, second = rng.normal(0.3, 1, 40), rng.normal(0, 1, 55)
    expected = mannwhitneyu(first, second, use_continuity=False, method="asymptotic", alternative="greater").pvalue
    assert norm.sf(mann_whitney_z(first, second)) == pytest.approx(expected)


def test_copies_lie_far_below_0_and_the_other_half_of_the_test_images_about_it(evaluate):
    kept, test = gaussian(200, 0), gaussian(200, 1)
    assert measure(evaluate(kept=kept, test=test, synthetic=copies_of(kept)), "data_copying") < -3
    assert (
        abs(measure(evaluate(kept=kept, test=test, synthetic=gaussian(200, 2, Origin.SYNTHETIC)), "data_copying")) < 3
    )


def test_images_where_no_training_images_are_lie_far_above_0(evaluate):
    kept, test = gaussian(200, 0), gaussian(200, 1)
    far = gaussian(200, 2, Origin.SYNTHETIC)
    far.images_NCHW[:] = 255 - far.images_NCHW // 4
    assert measure(evaluate(kept=kept, test=test, synthetic=far), "data_copying") > 3


def test_copying_is_told_by_class_where_there_are_test_images_enough(evaluate):
    kept, test = gaussian(300, 0, classes=3), gaussian(120, 1, classes=3)
    test = test.take(np.flatnonzero((test.labels_N < 2) | (np.arange(120) < 30)))
    generated = gaussian(300, 2, Origin.SYNTHETIC, classes=3)
    of_first = np.flatnonzero(generated.labels_N == 0)
    generated.images_NCHW[of_first] = kept.images_NCHW[np.flatnonzero(kept.labels_N == 0)]
    by_class = measure(evaluate(kept=kept, test=test, synthetic=generated), "data_copying", per_class=True)
    assert by_class.values_K[0] < -3
    assert abs(by_class.values_K[1]) < 3
    assert np.isnan(by_class.values_K[2])
    assert by_class.reason == "fewer than 20 synthetic or test images: 'c'"


def test_cells_without_test_images_are_dissolved():
    rng = np.random.default_rng(0)
    seen = np.concatenate([rng.normal(0, 1, (200, 4)), rng.normal(50, 1, (100, 4))]).astype(np.float32)
    test, generated = (rng.normal(0, 1, (100, 4)).astype(np.float32) for _ in range(2))
    value = copying_z(generated, test, seen, DataCopyingOptions(images_per_cell=10), "cpu")
    assert isinstance(value, float)
    assert abs(value) < 3
