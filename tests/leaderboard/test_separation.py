"""Which rows of a table are told apart: adjusted p, ranges of ranks, and what they must not depend on."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancebench.leaderboard.intervals import Estimates, p_values
from balancebench.leaderboard.separation import adjusted, holm, separate
from balancebench.leaderboard.statistics import deviation, mean

P = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]
Q = [0.01, 0.04, 0.084, 0.084, 0.084, 0.1, 0.1057, 0.216, 0.216, 0.216]


def all_pairs(scores):
    """Differences and p of all pairs of rows, from row -> scores by seed; over seeds alone."""
    names = list(scores)
    better_by_RR, p_RR = np.zeros((len(names), len(names))), np.full((len(names), len(names)), np.nan)
    for a, b in itertools.permutations(range(len(names)), 2):
        x = [first - second for first, second in zip(scores[names[a]], scores[names[b]], strict=True)]
        better_by_RR[a, b] = mean(x)
        p_RR[a, b] = p_values(Estimates.of_one(mean(x), deviation(x) ** 2 / len(x), len(x) - 1))
    return names, separate(better_by_RR, p_RR), p_RR


def ranked(scores):
    return {name: values for name, values in scores.items() if name != "no imbalance"}


def test_ten_p_are_adjusted_as_worked_out():
    assert adjusted(np.array(P)) == pytest.approx(Q, abs=5e-5)


@given(st.lists(st.floats(0, 1), max_size=30))
def test_adjusted_p_are_those_of_scipy(p):
    from scipy.stats import false_discovery_control

    assert adjusted(np.array(p)) == pytest.approx(false_discovery_control(p) if p else [])


def test_holm_multiplies_the_smallest_p_by_how_many_there_are_and_never_falls():
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("first", "second", "p", "q"),
    [
        ("cmo + ldam_drw", "none", 0.0456, 0.1050),
        ("class-balanced focal", "focal", 0.0118, 0.0631),
        ("cmo + ldam_drw", "cutmix", 0.0041, 0.0397),
    ],
)
def test_pairs_of_the_long_tail_have_the_p_and_adjusted_p_worked_out(worked_scores, first, second, p, q):
    names, separation, p_RR = all_pairs(ranked(worked_scores["long_tail"]))
    a, b = names.index(first), names.index(second)
    assert p_RR[a, b] == pytest.approx(p, abs=5e-5)
    assert separation.q_RR[a, b] == pytest.approx(q, abs=5e-5)


def test_of_351_pairs_of_the_long_tail_53_are_separated_and_of_step_188(worked_scores):
    _, long_tail, _ = all_pairs(ranked(worked_scores["long_tail"]))
    _, step, _ = all_pairs(ranked(worked_scores["step"]))
    assert (long_tail.separated, long_tail.tested) == (53, 351)
    assert (step.separated, step.tested) == (188, 351)


def test_ranges_bracket_ranks_and_say_how_many_rows_are_level_with_the_first(worked_scores):
    names, separation, _ = all_pairs(ranked(worked_scores["long_tail"]))
    first = names.index("cmo + ldam_drw")
    level = 1 + sum(not separation.above_RR[first, other] for other in range(27) if other != first)
    assert (separation.lowest_R[first], separation.highest_R[first], level) == (1, 23, 23)
    means = [mean(worked_scores["long_tail"][name]) for name in names]
    for index, own in enumerate(means):
        rank = 1 + sum(other > own for other in means)
        assert separation.lowest_R[index] <= rank <= separation.highest_R[index]


def test_a_clear_order_of_three_rows_has_ranges_of_one():
    better_by_RR = np.array([[0, 1, 2], [-1, 0, 1], [-2, -1, 0]], dtype=float)
    separation = separate(better_by_RR, np.full((3, 3), 0.001))
    assert separation.lowest_R.tolist() == separation.highest_R.tolist() == [1, 2, 3]


def test_a_pair_that_cannot_be_tested_is_in_no_family_and_separates_nobody():
    p_RR = np.array([[np.nan, np.nan, 0.04], [np.nan, np.nan, 0.04], [0.04, 0.04, np.nan]])
    separation = separate(np.array([[0, 1, 1], [-1, 0, 1], [-1, -1, 0]], dtype=float), p_RR)
    assert (separation.tested, separation.separated) == (2, 2)
    assert (separation.lowest_R.tolist(), separation.highest_R.tolist()) == ([1, 1, 3], [2, 2, 3])


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(2, 8), seed=st.integers(0, 1000))
def test_the_order_of_rows_changes_no_bit(rows, seed):
    rng = np.random.default_rng(seed)
    scores = {f"b{row}": np.round(rng.normal(0, 1, 3), 1).tolist() for row in range(rows)}
    shuffled = {name: scores[name] for name in rng.permutation(list(scores)).tolist()}
    names, separation, _ = all_pairs(scores)
    other_names, other, _ = all_pairs(shuffled)
    order = [other_names.index(name) for name in names]
    assert np.array_equal(separation.q_RR, other.q_RR[np.ix_(order, order)], equal_nan=True)
    assert np.array_equal(separation.above_RR, other.above_RR[np.ix_(order, order)])
    assert np.array_equal(separation.highest_R, other.highest_R[order])
