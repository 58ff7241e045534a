"""Verdicts in words, confidence and prediction apart, and how many seeds a difference wants."""

import pytest

from balancebench.leaderboard.intervals import Interval
from balancebench.leaderboard.statistics import deviation, mean
from balancebench.leaderboard.verdict import (
    confidence,
    next_seed_ahead,
    seeds_for_difference,
    smallest_difference,
    upper_deviation,
    verdict_of,
)


@pytest.mark.parametrize(
    ("low", "high", "margin", "verdict"),
    [
        (0.4, 2.0, 0.0, "better"),
        (-2.0, -0.4, 0.0, "worse"),
        (-1.6, 3.0, 0.0, "undecided"),
        (0.4, 2.0, 0.5, "undecided"),
        (0.6, 2.0, 0.5, "better"),
        (-0.4, 0.4, 0.5, "level"),
        (0.1, 0.4, 0.5, "level"),
        (0.0, 0.0, 0.0, "undecided"),
    ],
)
def test_a_verdict_is_where_the_interval_lies(low, high, margin, verdict):
    interval = Interval(low=low, high=high)
    assert verdict_of(interval, margin=margin, higher_is_better=True, identical=False) == verdict


def test_the_word_follows_the_better_direction():
    loss = Interval(low=-0.4, high=-0.1)
    assert verdict_of(loss, margin=0, higher_is_better=False, identical=False) == "better"
    assert verdict_of(Interval(low=0.1, high=0.2), margin=0, higher_is_better=False, identical=False) == "worse"
    assert verdict_of(Interval(low=0, high=0), margin=0, higher_is_better=True, identical=True) == "identical"


def test_confidence_is_not_the_chance_that_the_next_seed_is_ahead():
    x = [7.11, 13.69, 7.70]
    assert confidence(0.0456) == pytest.approx(0.977, abs=5e-4)
    assert next_seed_ahead(mean(x), deviation(x), 3) == pytest.approx(0.924, abs=5e-4)
    assert next_seed_ahead(-mean(x), deviation(x), 3) == pytest.approx(1 - 0.924, abs=5e-4)
    assert next_seed_ahead(0.0, 0.0, 3) == 0.5


@pytest.mark.parametrize(("sd", "seeds"), [(1.0, [34, 10, 5, 3]), (1.5, [73, 20, 7, 4]), (2.5, [199, 52, 15, 6])])
def test_seeds_that_tell_half_a_point_one_two_and_four(sd, seeds):
    assert [seeds_for_difference(difference, sd) for difference in (0.5, 1, 2, 4)] == seeds


def test_a_difference_that_no_number_of_seeds_tells_has_none():
    assert seeds_for_difference(0.001, 1.0) is None
    assert seeds_for_difference(1.0, 0.0) == 2


@pytest.mark.parametrize(("pairs", "factor"), [(3, 2.12), (5, 1.56), (10, 1.29)])
def test_a_deviation_of_few_seeds_may_well_be_larger(pairs, factor):
    assert upper_deviation(2.0, pairs) == pytest.approx(2 * factor, abs=0.02)


def test_test_images_set_a_floor_under_what_seeds_can_tell():
    assert smallest_difference(0.0001) == pytest.approx(0.0196, abs=1e-4)
