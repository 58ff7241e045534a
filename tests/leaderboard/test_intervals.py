"""Intervals of differences: worked numbers, what they must not depend on, and whether they cover."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebench.leaderboard.crossed_seeds import crossed_variance, full_block, mean_squares, variance_components
from balancebench.leaderboard.image_moments import image_moments
from balancebench.leaderboard.intervals import (
    Estimates,
    full_intervals,
    gap_interval,
    half_widths,
    p_values,
    resampled_image_variance,
    seeds_intervals,
)
from balancebench.leaderboard.statistics import deviation, mean


def over_seeds(differences, image=0.0, rest=0.0):
    """The estimate of one pair from its differences by seed."""
    return Estimates.of_one(
        mean(differences), deviation(differences) ** 2 / len(differences), len(differences) - 1, image, rest
    )


def packed(right_SRN):
    return np.packbits(np.asarray(right_SRN, dtype=np.uint8), axis=2)


# Seeds of three, two rows, two classes of four images.
A = [["1110", "1101"], ["1111", "1111"], ["1101", "1101"]]
B = [["1010", "1100"], ["1110", "0011"], ["1001", "1001"]]
LABELS_N = np.array([0] * 4 + [1] * 4)
RIGHT_SRN = np.array(
    [[[int(bit) for bit in "".join(row[seed])] for row in (A, B)] for seed in range(3)], dtype=np.uint8
)
HALVES = np.array([0.5, 0.5])


def test_three_paired_differences_give_the_interval_and_p_of_a_t_test():
    estimates = over_seeds([7.11, 13.69, 7.70])
    (interval,) = seeds_intervals(estimates)
    assert (interval.low, interval.high) == (pytest.approx(0.46, abs=0.01), pytest.approx(18.54, abs=0.01))
    assert full_intervals(estimates) == [interval]
    assert p_values(estimates) == pytest.approx(0.0456, abs=5e-5)


def test_a_second_pair_gives_its_interval_and_p():
    (interval,) = full_intervals(over_seeds([3.80, 4.90, 5.59]))
    assert (interval.low, interval.high) == (pytest.approx(2.52, abs=0.01), pytest.approx(7.01, abs=0.01))
    assert p_values(over_seeds([3.80, 4.90, 5.59])) == pytest.approx(0.0118, abs=5e-5)


def test_p_is_that_of_scipys_paired_t_test_where_images_add_nothing():
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(0)
    for _ in range(20):
        differences = rng.normal(0.4, 1, rng.integers(2, 9)).tolist()
        assert p_values(over_seeds(differences)) == pytest.approx(ttest_1samp(differences, 0).pvalue, rel=1e-9)


def test_images_of_two_classes_add_what_is_worked_out_by_hand():
    moments = image_moments(packed(RIGHT_SRN), LABELS_N, np.array([HALVES, [1.0, 0.0], [0.0, 1.0]]))
    assert moments.image_variance_WRR[0, 0, 1] == pytest.approx(0, abs=1e-17)
    assert moments.residual_variance_WRR[0, 0, 1] == pytest.approx(0.0109954, abs=5e-8)
    # MI .101852, .074074 and MR .222222, .305556, each over the class's four images and three seeds
    assert moments.residual_variance_WRR[1:, 0, 1] * 12 == pytest.approx([2 / 9, 11 / 36])
    assert moments.image_variance_WRR[1:, 0, 1] == pytest.approx([(0.1018518518 - 2 / 27) / 4, 0], abs=1e-9)
    differences = [0.25, 0.375, 0.25]
    estimates = over_seeds(differences, moments.image_variance_WRR[0, 0, 1], moments.residual_variance_WRR[0, 0, 1])
    assert mean(differences) == pytest.approx(0.2917, abs=5e-5)
    assert half_widths(estimates) == pytest.approx(0.2055, abs=5e-5)
    assert half_widths(estimates) ** 2 == pytest.approx(0.042239, abs=1e-6)
    assert p_values(estimates) == pytest.approx(0.0198, abs=5e-5)


def test_one_seed_has_the_interval_of_its_images_alone():
    moments = image_moments(packed(RIGHT_SRN[:1]), LABELS_N, HALVES[None])
    half = 1.959964 * math.sqrt(moments.image_variance_WRR[0, 0, 1])
    assert half == pytest.approx(0.3465, abs=5e-5)
    assert (moments.ahead_RR[0, 1], moments.ahead_RR[1, 0]) == (2, 0)  # discordant images
    assert moments.residual_variance_WRR[0, 0, 1] == 0
    assert full_intervals(Estimates.of_one(0.25, math.nan, 1)) == [None]


def definition(right_SRN, labels_N, weights_K, a, b):
    """v and r from the formulae, one image at a time."""
    seeds = len(right_SRN)
    image_variance = residual_variance = 0.0
    for label, weight in enumerate(weights_K):
        d = right_SRN[:, a, labels_N == label].astype(float) - right_SRN[:, b, labels_N == label]
        count = d.shape[1]
        rest = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0, keepdims=True) + d.mean()
        mr = (rest**2).sum() / ((seeds - 1) * (count - 1))
        image_variance += weight**2 * (d.mean(axis=0).var(ddof=1) - mr / seeds) / count
        residual_variance += weight**2 * mr / (seeds * count)
    return max(0.0, image_variance), residual_variance


def test_moments_of_all_pairs_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    labels_N = rng.integers(0, 3, 101)
    right_SRN = rng.random((4, 5, 101)) < rng.random((1, 5, 101))
    weights_K = np.array([0.2, 0.5, 0.3])
    moments = image_moments(packed(right_SRN), labels_N, weights_K[None])
    for a in range(5):
        for b in range(5):
            image, rest = definition(right_SRN, labels_N, weights_K, a, b)
            assert moments.image_variance_WRR[0, a, b] == pytest.approx(image, abs=1e-15)
            assert moments.residual_variance_WRR[0, a, b] == pytest.approx(rest, abs=1e-15)


def test_the_order_of_seeds_rows_and_images_changes_no_bit():
    rng = np.random.default_rng(2)
    labels_N = rng.integers(0, 3, 57)
    right_SRN = rng.random((3, 4, 57)) < 0.7
    weights_WK = np.array([[1 / 3, 1 / 3, 1 / 3], [0.0, 1.0, 0.0]])
    whole = image_moments(packed(right_SRN), labels_N, weights_WK)
    seeds_S, rows_R, images_N = rng.permutation(3), rng.permutation(4), rng.permutation(57)
    shuffled = image_moments(packed(right_SRN[seeds_S][:, rows_R][:, :, images_N]), labels_N[images_N], weights_WK)
    for name in ("image_variance_WRR", "residual_variance_WRR"):
        assert np.array_equal(getattr(whole, name)[:, rows_R][:, :, rows_R], getattr(shuffled, name))
    assert np.array_equal(whole.image_variance_WRR, whole.image_variance_WRR.transpose(0, 2, 1))


def test_duplicating_every_image_shrinks_what_images_add():
    rng = np.random.default_rng(3)
    labels_N = np.repeat([0, 1], 50)
    difficulty_N = rng.random(100)
    right_SRN = np.stack([np.stack([difficulty_N > 0.5, difficulty_N > 0.2])] * 3)  # the same in every seed
    once = image_moments(packed(right_SRN), labels_N, HALVES[None])
    twice = image_moments(packed(np.tile(right_SRN, 2)), np.tile(labels_N, 2), HALVES[None])
    ratio = twice.image_variance_WRR[0, 0, 1] / once.image_variance_WRR[0, 0, 1]
    assert ratio == pytest.approx(49 / 99)


def test_a_class_with_one_image_has_no_part_of_images():
    moments = image_moments(packed(RIGHT_SRN[:, :, :5]), LABELS_N[:5], HALVES[None])
    assert np.isnan(moments.image_variance_WRR[0, 0, 1])
    left_out = image_moments(packed(RIGHT_SRN[:, :, :5]), LABELS_N[:5], np.array([[1.0, 0.0]]))
    assert not np.isnan(left_out.image_variance_WRR).any()


differences_of_seeds = st.lists(st.floats(-1, 1), min_size=2, max_size=6)


@settings(max_examples=100, deadline=None)
@given(differences=differences_of_seeds, image=st.floats(0, 1), rest=st.floats(0, 1), order=st.randoms())
def test_swapping_rows_negates_and_the_order_of_seeds_changes_no_bit(differences, image, rest, order):
    estimates = over_seeds(differences, image, rest)
    swapped = over_seeds([-value for value in differences], image, rest)
    shuffled = list(differences)
    order.shuffle(shuffled)
    assert over_seeds(shuffled, image, rest) == estimates
    (interval,), (negated,) = full_intervals(estimates), full_intervals(swapped)
    assert (negated.low, negated.high) == (-interval.high, -interval.low)
    assert p_values(swapped) == p_values(estimates)


@settings(max_examples=100, deadline=None)
@given(differences=differences_of_seeds, image=st.floats(0, 1), rest=st.floats(0, 1))
def test_p_is_the_level_at_which_the_interval_ends_at_zero(differences, image, rest):
    estimates = over_seeds(differences, image, rest)
    p = float(p_values(estimates))
    if 1e-9 < p < 1 - 1e-9:
        assert half_widths(estimates, 1 - p) == pytest.approx(abs(float(estimates.mean_P)), rel=1e-6)


def test_nothing_differs_and_nothing_varies():
    assert p_values(Estimates.of_one(0.0, 0.0, 2)) == 1
    assert p_values(Estimates.of_one(0.1, 0.0, 2)) == 0
    assert np.isnan(p_values(Estimates.of_one(0.1, math.nan, 1)))


@pytest.mark.filterwarnings("error")
def test_seeds_that_agree_leave_the_p_of_the_images():
    from scipy.special import ndtr

    for df in (1, 2, 4):
        assert p_values(Estimates.of_one(0.1, 0.0, df, 0.001)) == pytest.approx(2 * ndtr(-0.1 / math.sqrt(0.001)))
        assert p_values(Estimates.of_one(1.0, 0.0, df, 1e-5)) < 1e-100


@pytest.mark.parametrize(
    ("task", "balancer", "share", "low", "high"),
    [
        ("long_tail", "cmo + ldam_drw", 0.576, 0.052, 0.783),
        ("step", "cmo + ldam_drw", 0.719, 0.567, 0.873),
        ("step", "mixup", -0.010, -0.030, 0.009),
    ],
)
def test_the_gap_closed_has_fiellers_interval(worked_scores, task, balancer, share, low, high):
    row, floor, ceiling = (worked_scores[task][name] for name in (balancer, "none", "no imbalance"))
    gains = [a - b for a, b in zip(row, floor, strict=True)]
    rooms = [a - b for a, b in zip(ceiling, floor, strict=True)]
    interval = gap_interval(gains, rooms)
    assert mean(gains) / mean(rooms) == pytest.approx(share, abs=6e-4)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=6e-4), pytest.approx(high, abs=6e-4))
    assert gap_interval([-gain for gain in gains], rooms).high == pytest.approx(-interval.low)


def test_a_gap_that_may_be_none_has_no_interval_and_says_so():
    assert "too uncertain" in gap_interval([0.1, 0.2, 0.1], [0.3, -0.1, 0.2])
    assert "two seeds" in gap_interval([0.1], [0.2])


def test_resampled_images_come_near_the_formula_where_both_are_known():
    rng = np.random.default_rng(4)
    labels_N = np.repeat([0, 1], [300, 100])
    right_2N = rng.random((2, 400)) < 0.7
    d_N = right_2N[0].astype(float) - right_2N[1]

    def statistic(drawn_N):
        return float(np.mean([d_N[drawn_N][labels_N[drawn_N] == label].mean() for label in (0, 1)]))

    exact = image_moments(packed(right_2N[None]), labels_N, HALVES[None]).image_variance_WRR[0, 0, 1]
    assert resampled_image_variance(statistic, labels_N, seed=0) == pytest.approx(exact, rel=0.12)
    assert resampled_image_variance(statistic, labels_N, seed=0) == resampled_image_variance(
        statistic, labels_N, seed=0
    )
    assert "undefined in too many" in resampled_image_variance(lambda _: None, labels_N, seed=0)


def test_crossed_seeds_are_no_independent_draws():
    subset_effect = np.array([-2.0, 0.0, 2.0])[:, None]
    noise = np.array([[0.1, -0.1, 0.0, 0.0], [0.0, 0.1, -0.1, 0.0], [-0.1, 0.0, 0.0, 0.1]])
    table = mean_squares(5 + subset_effect + noise)
    variance, df = crossed_variance(table)
    # the three subsets decide: 4 / 3, where twelve independent cells would give 2.9 / 12
    assert variance == pytest.approx(4 / 3, rel=0.01)
    assert df == pytest.approx(2, rel=0.01)
    transposed = crossed_variance(mean_squares((5 + subset_effect + noise).T))
    assert transposed == pytest.approx((variance, df))


def test_mean_squares_are_those_worked_by_hand():
    table = mean_squares(np.array([[1.0, 2.0], [3.0, 8.0]]))
    # row means 1.5, 5.5; column means 2, 5; rest +-1
    assert (table.mean, table.first, table.second, table.rest) == (3.5, 16.0, 9.0, 4.0)


def test_components_of_variance_come_back_as_they_were_put_in():
    rng = np.random.default_rng(5)
    a, c = rng.normal(0, 2, 200)[:, None], rng.normal(0, 1, 150)[None, :]
    table = mean_squares(a + c + rng.normal(0, 0.5, (200, 150)))
    components = variance_components(table, ("subset", "classifier"))
    assert [round(component.deviation, 1) for component in components] == pytest.approx([2, 1, 0.5], abs=0.15)
    for component, true in zip(components, (2, 1, 0.5), strict=True):
        assert not component.interval.excludes(true)
    assert "too few levels" in variance_components(mean_squares(np.eye(2)), ("subset", "classifier"))


def test_a_hole_costs_a_level_and_the_largest_full_block_stays():
    cells = {(a, c): float(10 * a + c) for a in range(3) for c in range(4) if (a, c) != (1, 3)}
    assert full_block(cells).tolist() == [[0, 1, 2], [10, 11, 12], [20, 21, 22]]


@pytest.mark.slow
def test_intervals_of_95_per_cent_cover_95_per_cent():
    """Seeds of sd 1.5 points, three of them, 300 images that differ by 10 points and vary by 25: 4,000 draws."""
    rng = np.random.default_rng(6)
    draws, seeds, images = 4000, 3, 300
    images_DN = rng.normal(0, 0.1, (draws, images))
    x_DS = rng.normal(0, 0.015, (draws, seeds))
    d_DSN = x_DS[:, :, None] + images_DN[:, None] + rng.normal(0, 0.25, (draws, seeds, images))
    x_DS = d_DSN.mean(axis=2)
    rest_DSN = d_DSN - d_DSN.mean(axis=2, keepdims=True) - d_DSN.mean(axis=1, keepdims=True)
    rest_D = ((rest_DSN + d_DSN.mean(axis=(1, 2), keepdims=True)) ** 2).sum(axis=(1, 2)) / ((seeds - 1) * (images - 1))
    between_D = d_DSN.mean(axis=1).var(axis=1, ddof=1)
    estimates = Estimates(
        mean_P=x_DS.mean(axis=1),
        seeds_variance_P=x_DS.var(axis=1, ddof=1) / seeds,
        df_P=np.full(draws, seeds - 1.0),
        image_variance_P=np.maximum(0, (between_D - rest_D / seeds) / images),
        residual_variance_P=rest_D / (seeds * images),
    )
    covered = np.mean(np.abs(estimates.mean_P) <= half_widths(estimates))
    assert 0.93 <= covered <= 0.975
    assert np.mean(p_values(estimates) < 0.05) == pytest.approx(1 - covered, abs=1e-9)
