"""A fresh run is compared with committed records: what the seeds' spread allows passes, the rest is named."""

import random

import pytest

from balancebench.evaluation import Cost
from balancebench.leaderboard.records import Records
from balancebench.leaderboard.regression import compare_with_records
from balancebench.leaderboard.regression_text import regression_lines

FLOOR = [0.60, 0.62, 0.64]  # standard deviation 0.02
SMOTE = [0.70, 0.72, 0.74]  # the same


@pytest.fixture
def records(make):
    """Records of a floor and of smote, with values of smote that differ from the committed ones, or other changes."""

    def build(smote=SMOTE, suite=None, extra=(), **changes):
        cells = [*make.row("none", FLOOR, role="floor"), *make.row("smote", smote, **changes), *extra]
        return Records(suite=suite or make.suite(), cells=tuple(cells))

    return build


def text_of(regression):
    return "\n".join(line for line, _ in regression_lines(regression))


def test_the_same_results_are_unchanged(records):
    regression = compare_with_records(records(), records())
    assert (regression.unchanged, regression.within, regression.failed) == (6, 0, False)
    assert "Nothing moved: 6 values unchanged" in text_of(regression)


def test_a_move_within_six_standard_deviations_of_a_cell_is_allowed(records):
    regression = compare_with_records(records([0.70 + 0.05, 0.72 - 0.05, 0.74]), records())
    assert (regression.unchanged, regression.within, regression.failed) == (4, 2, False)


def test_a_cell_that_moves_further_is_named_with_both_values_and_what_was_allowed(records):
    regression = compare_with_records(records([0.70 - 0.125, 0.72 + 0.06, 0.74 + 0.065]), records())  # the mean stays
    (moved,) = regression.moved
    assert moved.name == "digits / long_tail / small_cnn / smote / seed 0"
    assert (moved.committed, moved.fresh) == (0.70, pytest.approx(0.575))
    assert moved.allowed == pytest.approx(6 * 0.02)
    assert "accuracy 70.00 -> 57.50 % (-12.50, allowed 12.00)" in text_of(regression)
    assert regression.failed


def test_a_row_whose_mean_moves_is_found_though_each_cell_may_move_that_far(records):
    regression = compare_with_records(records([value - 0.08 for value in SMOTE]), records())
    (moved,) = regression.moved
    assert moved.name == "digits / long_tail / small_cnn / smote / mean of 3 seeds"
    assert moved.allowed == pytest.approx(6 * 0.02 / 3**0.5)
    assert regression.within == 3


def test_a_row_without_spread_of_its_own_takes_that_of_its_task(records, make):
    def with_steady(value):
        return records(extra=make.row("steady", [value, value, value]))

    assert not compare_with_records(with_steady(0.52), with_steady(0.50)).failed
    regression = compare_with_records(with_steady(0.57), with_steady(0.50))
    # squared deviations: none and smote 2 * 0.02^2 each, steady 0, over 6 degrees of freedom
    (moved,) = regression.moved
    assert moved.allowed == pytest.approx(6 * (4 * 0.02**2 / 6) ** 0.5 / 3**0.5)


@pytest.mark.parametrize(("images", "failed"), [(1, False), (2, True)])
def test_with_one_seed_one_test_image_is_allowed(make, images, failed):
    def board(value):
        return Records(suite=make.suite(), cells=(make.cell("smote", 0, value),))  # 200 test images

    assert compare_with_records(board(0.5 + images / 200), board(0.5)).failed == failed


def test_a_loss_with_one_seed_may_move_by_rounding_alone(make):
    def board(value):
        suite = make.suite((("loss", "", False),))
        return Records(suite=suite, cells=(make.cell("smote", 0, value, metric="loss"),))

    assert not compare_with_records(board(0.5 + 1e-9), board(0.5)).failed
    assert compare_with_records(board(0.501), board(0.5)).failed


def test_seconds_and_memory_are_not_compared(make):
    def board(value):
        suite = make.suite((("duration", "s", False), ("peak_memory", "MiB", False)))
        return Records(suite=suite, cells=(make.cell("smote", 0, {"duration": value, "peak_memory": value}),))

    regression = compare_with_records(board(500.0), board(10.0))
    assert not regression.failed
    assert regression.unchanged + regression.within == 0


def test_a_changed_budget_is_named(records):
    cost = Cost(duration_seconds=1, images_seen=3200, optimiser_steps=200, peak_memory_bytes=1)
    regression = compare_with_records(records(cost=cost), records())
    assert "smote / seed 0: images seen 1,600 -> 3,200" in text_of(regression)
    assert "smote / seed 0: optimiser steps 100 -> 200" in text_of(regression)
    assert regression.failed


def test_other_training_images_are_named_by_class(records, make):
    regression = compare_with_records(records(subset=make.subset(0, (100, 50, 12))), records())
    assert "trained on other images: class 'bag' has 12 images instead of 10" in text_of(regression)
    assert regression.failed


def test_a_cell_that_fails_now_is_named_with_its_message(records, make):
    broken = make.cell("other", 0, status="failed", message="it broke")
    regression = compare_with_records(records(extra=[broken]), records(extra=[make.cell("other", 0, 0.5)]))
    assert "other / seed 0: it was done, now failed: it broke" in text_of(regression)
    assert regression.failed


def test_a_cell_that_was_mended_or_is_new_does_not_fail(records, make):
    broken = make.cell("other", 0, status="failed", message="it broke")
    fresh = records(extra=[make.cell("other", 0, 0.5), make.cell("newcomer", 0, 0.5)])
    regression = compare_with_records(fresh, records(extra=[broken]))
    assert "other / seed 0: it was failed, now done" in text_of(regression)
    assert "newcomer / seed 0: new, not in the records" in text_of(regression)
    assert not regression.failed


def test_a_cell_that_vanished_from_the_suite_is_named(records, make):
    regression = compare_with_records(records(), records(extra=[make.cell("gone", 0, 0.5)]))
    assert "gone / seed 0: it is in the records, but no longer in the suite" in text_of(regression)
    assert regression.failed


def test_a_value_that_became_undefined_is_named(records):
    regression = compare_with_records(records([0.70, 0.72, {"accuracy": "no such class"}]), records())
    assert "smote / seed 2: last accuracy 0.74 -> undefined" in text_of(regression)
    assert regression.failed


def test_changed_options_and_revisions_are_named_once_with_both_values(records, make):
    def with_identity(epochs, revision, key):
        identity = {"components": {"classifier": {"options": {"epochs": epochs}, "revision": revision}}}
        return records(
            identities={"train": identity, "score": {"settings": {}}},
            steps={stage: make.key(stage, key) for stage in ("load", "imbalance", "train", "score")},
        )

    regression = compare_with_records(with_identity(20, 2, "new"), with_identity(15, 1, "old"))
    assert [(change.stage, change.text, change.cells) for change in regression.key_changes if "->" in change.text] == [
        ("train", "components.classifier.options.epochs 15 -> 20", 3),
        ("train", "components.classifier.revision 1 -> 2", 3),
    ]
    assert "train: components.classifier.options.epochs 15 -> 20 (3 cells)" in text_of(regression)
    assert not regression.failed  # the numbers are what they were


def test_another_environment_is_named(records):
    new = {"device": "cpu", "versions": {"torch": "2.10.0"}}
    old = {"device": "cpu", "versions": {"torch": "2.9.0"}}
    regression = compare_with_records(records(provenance=new), records(provenance=old))
    assert regression.environment_changes == ["versions.torch 2.9.0 -> 2.10.0"]


def test_other_values_from_the_same_keys_on_the_same_machine_ask_for_a_revision(records):
    regression = compare_with_records(records([0.70, 0.72, 0.741]), records())
    assert not regression.failed
    assert regression.silent == ["digits / long_tail / small_cnn / smote / seed 2"]
    assert "raise the component's revision" in text_of(regression)
    elsewhere = compare_with_records(records([0.70, 0.72, 0.741], provenance={"device": "cuda"}), records())
    assert elsewhere.silent == []


def _drawn_board(make, rng, shift=0.0):
    """Six rows of three seeds with a spread of 1 %; the first row moved by `shift`."""
    cells = []
    for number in range(6):
        mean = 0.7 + 0.01 * number + (shift if number == 0 else 0)
        cells += make.row(f"b{number}", [rng.gauss(mean, 0.01) for _ in range(3)])
    return Records(suite=make.suite(), cells=tuple(cells))


def test_results_drawn_anew_from_the_same_distribution_pass(make):
    rng = random.Random(0)
    alarms = sum(compare_with_records(_drawn_board(make, rng), _drawn_board(make, rng)).failed for _ in range(200))
    assert alarms <= 6  # 1.5 expected


def test_a_row_that_lost_eight_times_the_spread_does_not_pass(make):
    rng = random.Random(0)
    caught = sum(
        compare_with_records(_drawn_board(make, rng, shift=-0.08), _drawn_board(make, rng)).failed for _ in range(50)
    )
    assert caught >= 48
