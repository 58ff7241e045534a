"""FLD: copies are found, fresh samples are as good as training images, and the fit is what it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from balancebench import LabelledImages, Origin, Undefined
from balancebench_quality.feature_likelihood import feature_likelihood, fitted_variances, mean_log_likelihood
from balancebench_quality.plugin import METRICS

(FLD,) = (component for component in METRICS if component.name == "fld")


def points(count, seed, dimensions=16, scale=1.0, shift=0.0):
    rng = np.random.default_rng(seed)
    return (rng.normal(shift, scale, (count, dimensions)) * np.linspace(1, 3, dimensions)).astype(np.float32)


def images(count, seed, origin=Origin.REAL, classes=1):
    pixels = np.random.default_rng(seed).normal(128, 25, (count, 1, 4, 4)).clip(0, 255).round().astype(np.uint8)
    return LabelledImages(
        images_NCHW=pixels,
        labels_N=np.arange(count, dtype=np.int64) % classes,
        class_names=tuple("abc"[:classes]),
        origin_N=np.full(count, origin, dtype=np.uint8),
    )


def test_copies_are_far_worse_than_fresh_samples_and_these_about_as_good_as_training_images():
    train, test = points(300, 0), points(300, 1)
    fresh = feature_likelihood(points(300, 2), train, test, "cpu")
    assert abs(fresh) < 10
    copies = feature_likelihood(train, train, test, "cpu")
    near_copies = feature_likelihood(train + points(300, 3, scale=0.02), train, test, "cpu")
    assert copies > 1000
    assert near_copies > fresh + 100
    assert copies > near_copies


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 2.0), (3.0, 0.0)])
def test_samples_that_lie_elsewhere_or_too_far_apart_are_worse_than_fresh_ones(scale, shift):
    train, test = points(200, 0), points(200, 1)
    bad = feature_likelihood(points(200, 2, scale=scale, shift=shift), train, test, "cpu")
    assert bad > feature_likelihood(points(200, 2), train, test, "cpu") + 5


def test_samples_too_near_the_middle_are_not_told_from_fresh_ones():
    """What README.md says that it does not see: deviations make up for it."""
    train, test = points(200, 0), points(200, 1)
    assert feature_likelihood(points(200, 2), train, test, "cpu") == pytest.approx(-3.5, abs=0.1)
    assert feature_likelihood(points(200, 2, scale=0.3), train, test, "cpu") == pytest.approx(-14.6, abs=0.1)


def test_the_scale_and_origin_of_the_features_do_not_matter():
    train, test, generated = points(80, 0), points(80, 1), points(80, 2)
    factor, offset = np.linspace(0.1, 9, 16, dtype=np.float32), np.float32(5)
    moved = feature_likelihood(*(features * factor + offset for features in (generated, train, test)), "cpu")
    assert moved == pytest.approx(feature_likelihood(generated, train, test, "cpu"), abs=1e-2)


def test_a_feature_that_is_the_same_in_all_training_images_is_left_out():
    train, test, generated = points(80, 0), points(80, 1), points(80, 2)
    wider = [
        np.concatenate([features, np.full((80, 1), 7, np.float32)], axis=1) for features in (generated, train, test)
    ]
    assert feature_likelihood(*wider, "cpu") == pytest.approx(
        feature_likelihood(generated, train, test, "cpu"), abs=1e-6
    )


def test_one_centre_has_the_mean_square_of_the_distances_for_its_variance():
    fitted = torch.from_numpy(points(50, 0).astype(np.float64))
    centre = torch.zeros(1, 16, dtype=torch.float64)
    assert fitted_variances(centre, fitted).item() == pytest.approx(float(fitted.square().mean()))


def test_every_round_makes_the_training_images_more_likely():
    centres, fitted = (torch.from_numpy(points(40, seed, 4).astype(np.float64)) for seed in (0, 1))
    likely = [
        mean_log_likelihood(fitted, centres, fitted_variances(centres, fitted, rounds)) for rounds in (0, 1, 2, 5, 30)
    ]
    assert likely == sorted(likely)
    assert likely[-1] > likely[0] + 0.01


def test_the_likelihood_is_that_of_scipys_normal_distributions():
    centres, test = (points(count, seed, 3).astype(np.float64) for count, seed in ((5, 0), (7, 1)))
    variance_N = np.array([0.5, 1.0, 2.0, 0.1, 3.0])
    densities = [
        multivariate_normal(centre, variance).pdf(test) for centre, variance in zip(centres, variance_N, strict=True)
    ]
    expected = np.log(np.mean(densities, axis=0)).mean()
    value = mean_log_likelihood(*map(torch.from_numpy, (test, centres, variance_N)))
    assert value == pytest.approx(expected)
    assert math.isfinite(value)


def measure(evaluation, **options):
    return FLD.create(FLD.options(extractor="pixels", **options))(evaluation)


def test_copies_are_told_by_class(evaluate):
    kept, test = images(90, 0, classes=3), images(90, 1, classes=3)
    test = test.take(np.flatnonzero((test.labels_N < 2) | (np.arange(90) < 30)))
    generated = images(90, 2, Origin.SYNTHETIC, classes=3)
    of_first = np.flatnonzero(generated.labels_N == 0)
    generated.images_NCHW[of_first] = kept.images_NCHW[np.flatnonzero(kept.labels_N == 0)]
    evaluation = evaluate(kept=kept, test=test, synthetic=generated)
    by_class = measure(evaluation, per_class=True)
    assert by_class.values_K[0] > 1000
    assert abs(by_class.values_K[1]) < 40
    assert by_class.reason == "fewer than 20 synthetic, training or test images: 'c'"
    assert abs(measure(evaluation)) < 1000  # the other classes' images cover what the copies do not


def test_too_few_images_have_no_value(evaluate):
    evaluation = evaluate(kept=images(90, 0), test=images(19, 1), synthetic=images(90, 2, Origin.SYNTHETIC))
    assert measure(evaluation) == Undefined("fewer than 20 synthetic, training or test images")
    few = evaluate(kept=images(19, 0), test=images(90, 1), synthetic=images(90, 2, Origin.SYNTHETIC))
    assert measure(few) == Undefined("fewer than 20 synthetic, training or test images")
