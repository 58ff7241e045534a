"""Rows that have learnt nothing, or know more than they should, are pointed out below the table."""

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest

from balancebench.artefacts.scores import AgainstGuessing, ReportScores, Score
from balancebench.execution.run_plan import run_plan
from balancebench.leaderboard.columns import remark_lines
from balancebench.leaderboard.export import csv_text
from balancebench.leaderboard.markdown import markdown
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.plan import expand
from balancebench.store import Store
from balancebench.suite.bind import bind_suite


def table_of(suite, cells):
    return build_leaderboard(suite, cells).tables[0]


@pytest.fixture
def guessed(make):
    """A row of cells with these balanced accuracies, over 10 classes with 100 test images each."""

    def row(balancer, accuracies, **changes):
        return [
            replace(make.cell(balancer, seed, **changes), scores={"last": guessing_scores(accuracy)})
            for seed, accuracy in enumerate(accuracies)
        ]

    def guessing_scores(accuracy):
        error = math.sqrt(0.1 * 0.9 / 1000)
        guessing = AgainstGuessing(balanced_accuracy=accuracy, chance=0.1, standard_error=error)
        return ReportScores(epoch=0, metrics={"accuracy": Score(value=accuracy)}, guessing=guessing)

    return row


def test_a_guesser_has_the_standard_error_that_simulated_guessers_have():
    images_K = np.array([500, 20, 3, 0])  # the last class has no test images
    random = np.random.default_rng(0)
    recalls = random.binomial(images_K[:3], 1 / 4, size=(200_000, 3)) / images_K[:3]
    confusion_KK = np.zeros((4, 4), dtype=np.int64)
    confusion_KK[np.arange(3), 0] = images_K[:3]  # everything is predicted as class 0
    against = AgainstGuessing.of(confusion_KK)
    assert against.chance == 1 / 4
    assert against.balanced_accuracy == pytest.approx(1 / 3)
    assert against.standard_error == pytest.approx(recalls.mean(axis=1).std(), rel=0.01)


@pytest.mark.parametrize(
    ("accuracies", "at_chance"),
    [
        ([0.1, 0.1, 0.1], True),
        ([0.05, 0.06], True),  # worse than guessing is no better
        ([0.118], True),  # one standard error is 0.0095, and with one seed two of them are 0.019
        ([0.120], False),
        ([0.110, 0.111, 0.108, 0.110], False),  # of the mean of four it is half of that
        ([0.109, 0.110, 0.108, 0.109], True),
        ([0.9, 0.1], False),
    ],
)
def test_a_row_is_at_chance_within_two_standard_errors_of_guessing(make, guessed, accuracies, at_chance):
    (row,) = table_of(make.suite(), guessed("smote", accuracies)).rows
    assert row.at_chance is at_chance


def test_rows_at_chance_are_named_below_the_table_and_in_the_csv(make, guessed):
    cells = [*guessed("none", [0.1], role="floor"), *guessed("smote", [0.5]), *guessed("gan", [0.11])]
    board = build_leaderboard(make.suite(), cells)
    assert "At chance: gan, none (floor): a balanced accuracy that is no better than guessing." in markdown(board)
    lines = csv.DictReader(io.StringIO(csv_text(board)))
    assert {line["balancer"]: line["remark"] for line in lines} == {
        "none": "at chance",
        "gan": "at chance",
        "smote": "",
    }


def test_rows_scored_before_this_was_kept_say_nothing_of_chance(make, guessed):
    old = [make.cell("smote", 0, 0.1), *guessed("smote", [0.1, 0.1])[1:]]
    (row,) = table_of(make.suite(), old).rows
    assert row.at_chance is None


def test_every_report_of_a_scored_cell_says_how_it_stands_against_guessing(fakes, suite_file, tmp_path):
    plan = expand(bind_suite(suite_file(replace={"seeds = [0, 1]": "seeds = [0]"}), fakes))
    store = Store.open(tmp_path / "store")
    run_plan(plan, store, executor="inline", device="cpu")
    floor = next(cell for cell in collect(plan, store) if cell.role == "floor")
    guessing = floor.scores["last"].guessing
    assert guessing.chance == 1 / 3
    assert guessing.standard_error == pytest.approx(math.sqrt(2 / 9 / 30))  # 10 test images of each class
    assert guessing.balanced_accuracy == floor.scores["last"].metrics["hits"].value  # classes are balanced


def test_a_row_above_its_ceiling_is_pointed_out_with_the_paired_difference(make):
    cells = [
        *make.row("none", [0.91, 0.95], role="floor"),
        *make.row("smote", [0.5, 0.6]),
        *make.row("leak", [0.912, 0.912]),
        make.cell("no imbalance", 0, 0.9, role="ceiling"),
        make.cell("no imbalance", 1, 0.9, role="ceiling"),
        make.cell("no imbalance", 2, 0.1, role="ceiling"),
    ]
    lines = remark_lines(table_of(make.suite(), cells))
    assert "Above its ceiling: leak by 1.20: look for test or withheld images in its training." in lines


def test_below_the_ceiling_is_above_it_where_lower_is_better(make):
    suite = make.suite((("loss", "", False),))
    cells = [
        make.cell("leak", 0, 0.2, metric="loss"),
        make.cell("smote", 0, 0.8, metric="loss"),
        make.cell("no imbalance", 0, 0.5, role="ceiling", metric="loss"),
    ]
    rows = {row.balancer: row.above_ceiling for row in table_of(suite, cells).rows}
    assert rows == {"leak": pytest.approx(0.3), "smote": None, "no imbalance": None}


def test_a_row_of_other_images_is_not_measured_against_the_ceiling(make, small):
    strange = make.cell("strange", 0, 0.99, subset=make.subset(0, (100, 50, 12)))
    rows = {row.balancer: row for row in table_of(small.suite, [*small.cells, strange]).rows}
    assert rows["strange"].above_ceiling is None
