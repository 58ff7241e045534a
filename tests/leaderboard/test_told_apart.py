"""Rows of a board are told apart: intervals over seeds and images, ranges of ranks, verdicts against the floor."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from balancebench.leaderboard.export import json_text
from balancebench.leaderboard.image_moments import image_moments
from balancebench.leaderboard.intervals import Interval
from balancebench.leaderboard.table import build_leaderboard
from balancebench.plan import Task

LABELS_N = np.repeat([0, 1, 2], [200, 120, 80])


def drawn(shares, seeds=3, labels_N=LABELS_N, seed=0):
    """Row -> which images are right: with its share, images that are hard for one being hard for all."""
    rng = np.random.default_rng(seed)
    difficulty_N = rng.random(len(labels_N))
    return {
        name: np.clip(difficulty_N[None] + rng.normal(0, 0.05, (seeds, len(labels_N))), 0, 1) < share
        for name, share in shares.items()
    }


def board_of(tested, *, with_images=True):
    return build_leaderboard(tested.suite, tested.cells, tested.outcomes if with_images else None)


def rows_of(board):
    return {row.balancer: row for row in board.tables[0].rows}


SHARES = {"none": 0.55, "a": 0.80, "b": 0.79, "c": 0.35}


@pytest.fixture(scope="module")
def clear(make):
    right = drawn(SHARES)
    return make.tested({**right, "twin": right["a"]}, LABELS_N)


def test_the_interval_over_seeds_is_students_and_the_full_one_adds_what_images_add(clear):
    difference = rows_of(board_of(clear))["a"].metrics["balanced accuracy"].difference
    half_width = student.ppf(0.975, 2) * difference.std / math.sqrt(3)
    assert difference.seeds_interval.high - difference.mean == pytest.approx(half_width)
    correct_SRN = np.stack([drawn(SHARES)[name] for name in ("a", "none")], axis=1)
    moments = image_moments(np.packbits(correct_SRN, axis=2), LABELS_N, np.full((1, 3), 1 / 3))
    image, rest = moments.image_variance_WRR[0, 0, 1], moments.residual_variance_WRR[0, 0, 1]
    full = math.sqrt(max(half_width**2, 1.959964**2 * rest) + 1.959964**2 * image)
    assert difference.full_interval.high - difference.mean == pytest.approx(full, rel=1e-6)
    assert full > 1.1 * half_width
    assert difference.image_variance == image
    assert (difference.interval, difference.interval_reason) == (difference.full_interval, "")


@pytest.mark.parametrize("label", ["balanced accuracy", "accuracy", "few-shot accuracy"])
def test_every_mean_over_images_has_the_full_interval(clear, label):
    difference = rows_of(board_of(clear))["a"].metrics[label].difference
    assert difference.full_interval.excludes(0)
    assert difference.p < 0.05


def test_another_metric_has_the_interval_over_seeds_and_says_why(clear):
    difference = rows_of(board_of(clear))["a"].metrics["loss"].difference
    assert difference.full_interval is None
    assert difference.interval == difference.seeds_interval
    assert "no mean over test images" in difference.interval_reason


def test_without_outcomes_a_board_shows_the_interval_over_seeds_and_says_so(clear):
    board = board_of(clear, with_images=False)
    difference = rows_of(board)["a"].metrics["balanced accuracy"].difference
    with_images = rows_of(board_of(clear))["a"].metrics["balanced accuracy"].difference
    assert difference.full_interval is None
    assert difference.seeds_interval == with_images.seeds_interval
    (note,) = board.tables[0].interval_notes
    assert note.startswith("Intervals are over seeds alone: which test images")
    assert board_of(clear).tables[0].interval_notes == ()


def test_rows_have_the_range_of_ranks_that_what_is_told_apart_leaves(clear):
    board = board_of(clear)
    rows = rows_of(board)
    assert [(name, rows[name].rank, rows[name].rank_range) for name in ("a", "twin", "b", "none", "c")] == [
        ("a", 1, (1, 3)),
        ("twin", 1, (1, 3)),
        ("b", 3, (1, 3)),
        ("none", 4, (4, 4)),
        ("c", 5, (5, 5)),
    ]
    assert [rows[name].level_with_first for name in ("a", "b", "none")] == [True, True, False]
    separated = board.tables[0].separated
    assert separated.tested == 10
    assert set(separated.pairs) == {
        *((better, worse) for better in ("a", "twin", "b") for worse in ("none", "c")),
        ("none", "c"),
    }


def test_a_row_is_better_or_worse_than_the_floor_or_neither(clear):
    rows = rows_of(board_of(clear))
    assert [rows[name].against_floor.verdict for name in ("a", "c")] == ["better", "worse"]
    assert rows["none"].against_floor is None
    against = rows["a"].against_floor
    assert against.p == rows["a"].metrics["balanced accuracy"].difference.p
    assert against.p <= against.p_adjusted < 0.05


def test_where_lower_is_better_the_words_turn_and_the_difference_does_not(clear):
    suite = clear.suite.model_copy(update={"metrics": tuple(reversed(clear.suite.metrics))})
    rows = rows_of(build_leaderboard(suite, clear.cells, clear.outcomes))
    assert rows["a"].metrics["loss"].difference.mean < 0
    assert (rows["a"].rank, rows["a"].against_floor.verdict, rows["c"].against_floor.verdict) == (1, "better", "worse")


def test_one_seed_has_an_interval_of_this_run_only_and_no_range_or_verdict(make):
    board = board_of(make.tested(drawn(SHARES, seeds=1), LABELS_N))
    row = rows_of(board)["a"]
    difference = row.metrics["balanced accuracy"].difference
    assert (difference.interval, difference.p) == (None, None)
    assert "one seed" in difference.interval_reason
    assert difference.run_interval.low < difference.mean < difference.run_interval.high
    assert (row.rank, row.rank_range, row.level_with_first, row.against_floor) == (1, None, None, None)
    assert board.tables[0].separated.tested == 0


def test_two_seeds_have_intervals_and_the_table_says_how_little_they_tell(make):
    board = board_of(make.tested(drawn(SHARES, seeds=2), LABELS_N))
    assert rows_of(board)["a"].metrics["balanced accuracy"].difference.full_interval is not None
    assert "Two seeds rarely tell rows apart" in board.tables[0].interval_notes


def test_an_unfinished_row_is_compared_on_the_seeds_that_both_have(make):
    tested = make.tested(drawn(SHARES, seeds=5), LABELS_N)
    cells = [
        make.cell("a", 4, status="missing", message="it has not been run") if str(cell).endswith("a / seed 4") else cell
        for cell in tested.cells
    ]
    rows = rows_of(build_leaderboard(tested.suite, cells, tested.outcomes))
    assert rows["a"].metrics["accuracy"].difference.n == 4
    assert rows["b"].metrics["accuracy"].difference.n == 5
    whole = rows_of(board_of(tested))
    assert rows["b"].metrics["accuracy"].difference == whole["b"].metrics["accuracy"].difference
    assert rows["a"].rank_range[0] <= rows["a"].rank <= rows["a"].rank_range[1]


def test_a_row_that_failed_has_a_difference_and_no_verdict(make):
    tested = make.tested(drawn(SHARES), LABELS_N)
    failed = make.cell("a", 2, status="failed", message="it broke")
    cells = [failed if str(cell).endswith("a / seed 2") else cell for cell in tested.cells]
    row = rows_of(build_leaderboard(tested.suite, cells, tested.outcomes))["a"]
    assert (row.rank, row.rank_range, row.against_floor) == (None, None, None)
    assert row.metrics["accuracy"].difference.n == 2


def test_crossed_seeds_are_not_counted_as_independent(make):
    rng = np.random.default_rng(1)
    seeds = [(subset, 0, classifier) for subset in range(3) for classifier in range(4)]
    shifts = {0: 0.0, 1: 0.1, 2: -0.1}  # of the subset
    difficulty_N = rng.random(400)
    right = {
        "none": [difficulty_N < 0.5 for _ in seeds],
        "a": [difficulty_N + rng.normal(0, 0.01, 400) < 0.6 + shifts[subset] for subset, _, _ in seeds],
    }
    difference = rows_of(board_of(make.tested(right, LABELS_N, seeds=seeds)))["a"].metrics["accuracy"].difference
    assert (difference.n, round(difference.df)) == (12, 2)
    half_width = difference.seeds_interval.high - difference.mean
    naive = student.ppf(0.975, 11) * difference.std / math.sqrt(12)
    assert half_width > 3 * naive


def test_seeds_that_share_one_subset_are_said_to_speak_of_it_alone(make):
    seeds = [(0, 0, classifier) for classifier in range(3)]
    board = board_of(make.tested(drawn(SHARES), LABELS_N, seeds=seeds))
    assert any("one training subset" in note for note in board.tables[0].interval_notes)


def test_the_gap_closed_has_an_interval_or_the_reason_why_not(make):
    right = drawn({"none": 0.5, "a": 0.7, "no imbalance": 0.9})
    tested = make.tested(right, LABELS_N, roles={"no imbalance": "ceiling"})
    rows = rows_of(board_of(tested))
    summary = rows["a"].metrics["accuracy"]
    assert summary.gap_interval.low < summary.gap_closed < summary.gap_interval.high
    assert summary.gap_interval.excludes(0)
    assert rows["no imbalance"].metrics["accuracy"].gap_interval is None
    assert rows["no imbalance"].metrics["accuracy"].difference.full_interval is not None


def test_classes_that_count_only_under_some_seeds_leave_images_out(make):
    tested = make.tested(drawn(SHARES), LABELS_N)
    cells = [
        replace(cell, subset=cell.subset.model_copy(update={"counts_K": (100, 10, 50)}))
        if cell.seeds.subset == 1
        else cell
        for cell in tested.cells
    ]
    rows = rows_of(build_leaderboard(tested.suite, cells, tested.outcomes))
    assert "other classes under other seeds" in rows["a"].metrics["few-shot accuracy"].difference.interval_reason
    assert rows["a"].metrics["accuracy"].difference.full_interval is not None


def test_the_order_of_results_changes_no_bit_of_the_statistics(clear):
    rng = np.random.default_rng(2)
    shuffled = [clear.cells[index] for index in rng.permutation(len(clear.cells))]
    assert json_text(build_leaderboard(clear.suite, shuffled, clear.outcomes)) == json_text(board_of(clear))


def test_two_tasks_are_added_up_and_rows_that_lack_one_stand_apart(make):
    other = Task(dataset="letters", imbalancer="long_tail", classifier="small_cnn")
    first = make.tested(drawn(SHARES), LABELS_N)
    second = make.tested(drawn({"none": 0.5, "a": 0.7, "c": 0.8}, seed=1), LABELS_N, task=other)
    board = build_leaderboard(first.suite, first.cells + second.cells, first.outcomes | second.outcomes)
    (table,) = board.aggregates
    rows = {row.balancer: row for row in table.rows}
    assert [row.balancer for row in table.rows] == ["a", "c", "none", "b"]
    # among the three rows that have both tasks: a 1 and 2, c 3 and 1, none 2 and 3
    assert [rows[name].mean_rank for name in ("a", "c", "none", "b")] == [1.5, 2.0, 2.5, None]
    assert [(rows[name].won, rows[name].level, rows[name].lost) for name in ("a", "c")] == [(2, 0, 0), (1, 0, 1)]
    assert rows["b"].lacks == (other,)
    means = [
        row.metrics["balanced accuracy"].difference.mean
        for task_table in board.tables
        for row in task_table.rows
        if row.balancer == "a"
    ]
    assert rows["a"].difference.mean == pytest.approx(sum(means) / 2)
    assert isinstance(rows["a"].difference.full_interval, Interval)
    assert rows["a"].difference.n == 2
    assert rows["a"].signed_rank_p is None
    assert build_leaderboard(first.suite, first.cells).aggregates == ()


@pytest.mark.parametrize(("rows", "seconds"), [(28, 2), (200, 10)])
def test_tables_of_many_rows_are_told_apart_in_seconds(make, rows, seconds):
    labels_N = np.repeat(np.arange(3), [4000, 3000, 3000])
    rng = np.random.default_rng(3)
    right = {f"b{row}": rng.random((5, 10_000)) < rng.uniform(0.5, 0.9) for row in range(rows - 1)}
    tested = make.tested({"none": rng.random((5, 10_000)) < 0.5, **right}, labels_N)
    start = time.perf_counter()
    board = board_of(tested)
    assert time.perf_counter() - start < seconds
    assert board.tables[0].separated.tested == rows * (rows - 1) // 2


def test_rounding_tells_no_rows_apart(make):
    cells = [
        *make.row("none", [0.3, 0.4, 0.7], role="floor"),
        *make.row("a", [0.1 + 0.2, 0.1 + 0.3, 0.6 + 0.1]),  # 0.30000000000000004, 0.4, 0.7
        *make.row("b", [1e-17 + 0.3, 0.4 + 1e-16, 0.7 - 1e-16]),
    ]
    rows = rows_of(build_leaderboard(make.suite(), cells))
    assert [rows[name].metrics["accuracy"].difference.p for name in ("a", "b")] == [1, 1]
    assert rows["a"].rank_range == (1, 3)


def test_epochs_that_the_test_set_chose_have_intervals_and_no_range_or_verdict(make):
    cells = [
        make.cell(name, seed, reports={"last": 0.5 + shift, "best_test": 0.6 + shift + seed / 100}, role=role)
        for name, role, shift in (("none", "floor", 0.0), ("a", "entry", 0.2))
        for seed in range(3)
    ]
    last, best = build_leaderboard(make.suite(reports=("last", "best_test")), cells).tables
    assert (last.rows[0].rank_range, last.rows[0].against_floor.verdict) == ((1, 1), "better")
    assert (best.rows[0].rank, best.rows[0].rank_range, best.rows[0].against_floor) == (1, None, None)
    assert best.rows[0].metrics["accuracy"].difference.interval is not None
    assert best.separated is None
    assert "No range and no verdict: the test set chose these epochs" in best.interval_notes
