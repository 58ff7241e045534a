"""The Frechet distance is that of the formula with a matrix root, and the closed form of known normal distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from balancebench.synthesis.frechet import frechet_distance, moments_of


def distance(first, second):
    return frechet_distance(moments_of(first), moments_of(second))


def correlated(count, features=8, seed=0, shift=0.0):
    """Draw float32 features with correlated columns, away from the origin."""
    drawn = np.random.default_rng([seed, count, features]).normal(0, 1, (count, features))
    mixing = np.random.default_rng(features).normal(0, 1, (features, features))
    return (drawn @ mixing + 3 + shift).astype(np.float32)


def exactly_normal(count, mean, deviation, seed=0):
    """Draw features whose sample mean is exactly this, and whose sample covariance is diagonal, exactly too."""
    drawn = np.random.default_rng(seed).normal(0, 1, (count, len(mean)))
    drawn -= drawn.mean(axis=0)
    covariance = np.cov(drawn, rowvar=False).reshape(len(mean), len(mean))
    return drawn @ np.linalg.inv(np.linalg.cholesky(covariance)).T * deviation + mean


def by_matrix_root(first, second):
    first, second = first.astype(np.float64), second.astype(np.float64)
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in (first, second)]
    root = sqrtm(covariances[0] @ covariances[1]).real
    return ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


@pytest.mark.parametrize(("counts", "features"), [((60, 40), 8), ((200, 30), 12), ((9, 9), 8), ((5, 4), 1)])
def test_it_is_that_of_the_matrix_square_root(counts, features):
    first, second = correlated(counts[0], features), correlated(counts[1], features, seed=1, shift=0.5)
    assert distance(first, second) == pytest.approx(by_matrix_root(first, second), rel=1e-9)


@pytest.mark.parametrize("counts", [(6, 4), (2, 2), (60, 5), (5, 60)])
def test_fewer_images_than_features_are_exact_too(counts):
    first, second = correlated(counts[0], 50).astype(np.float64), correlated(counts[1], 50, seed=1).astype(np.float64)
    covariances = [np.cov(features, rowvar=False) for features in (first, second)]
    # Singular, which sqrtm cannot do: the root's trace is the sum of the roots of the product's eigenvalues.
    root_trace = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0)).sum()
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1])
    assert distance(first, second) == pytest.approx(expected - 2 * root_trace, rel=1e-6)


def test_of_normal_distributions_with_diagonal_covariances_it_is_the_closed_form():
    one = exactly_normal(50, [0.0], [1.0]), exactly_normal(30, [3.0], [2.0], seed=1)
    assert distance(*one) == pytest.approx(3**2 + (2 - 1) ** 2)
    several = exactly_normal(50, [0, 1, 2], [1, 2, 3]), exactly_normal(40, [1, 1, 0], [2, 2, 1], seed=1)
    assert distance(*several) == pytest.approx((1 + 0 + 4) + (1 + 0 + 4))


def test_two_images_a_side_have_the_distance_of_their_two_segments():
    """Of two points the covariance is d d^T / 2 with d their difference: its root's trace is |d_1 . d_2| / 2."""
    first, second = np.array([[0.0, 0, 0], [2, 0, 0]]), np.array([[0.0, 0, 1], [0, 2, 1]])
    assert distance(first, second) == pytest.approx((1 + 1 + 1) + 2 + 2)  # at right angles nothing overlaps
    assert distance(first, first + np.array([0, 0, 5])) == pytest.approx(25)


def test_it_is_symmetric_and_of_a_set_with_itself_nothing_also_where_features_are_constant():
    first, second = correlated(50), correlated(30, seed=1)
    assert distance(first, second) == pytest.approx(distance(second, first), rel=1e-12)
    first[:, 3] = 7.0  # a dead unit: the covariance has no full rank
    assert distance(first, first[::-1]) == pytest.approx(0, abs=1e-9)
    assert distance(first, first) >= 0


def test_features_that_are_not_finite_have_no_distance():
    broken = correlated(20)
    broken[3, 2] = np.nan
    assert np.isnan(distance(broken, correlated(20)))
    assert np.isnan(distance(correlated(20), broken))
