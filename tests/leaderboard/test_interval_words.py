"""What a table says of its intervals, ranges and verdicts, in Markdown, CSV, terminal and notebook."""

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from balancebench.leaderboard.export import csv_text
from balancebench.leaderboard.markdown import markdown
from balancebench.leaderboard.notebook import leaderboard_html
from balancebench.leaderboard.table import build_leaderboard
from balancebench.leaderboard.terminal import print_leaderboard
from balancebench.plan import Task

LABELS_N = np.repeat([0, 1, 2], [200, 120, 80])


def right(shares, seeds=3):
    rng = np.random.default_rng(0)
    difficulty_N = rng.random(len(LABELS_N))
    return {name: difficulty_N + rng.normal(0, 0.05, (seeds, len(LABELS_N))) < share for name, share in shares.items()}


@pytest.fixture(scope="module")
def tested(make):
    return make.tested(right({"none": 0.5, "good": 0.8, "bad": 0.3, "same": 0.505}), LABELS_N)


def plain(text):
    """Words on one line, without what Markdown escapes with."""
    return " ".join(text.replace("\\", "").split())


def printed(board):
    console = Console(file=io.StringIO(), width=200)
    print_leaderboard(console, board)
    return console.file.getvalue()


@pytest.mark.parametrize("shown", [markdown, printed, leaderboard_html])
def test_rows_are_called_better_worse_or_level_and_have_a_range(tested, shown):
    text = shown(build_leaderboard(tested.suite, tested.cells, tested.outcomes))
    assert text.count("] better") == text.count("] worse") == text.count("] level") == 1
    assert "range" in text
    assert "2-3" in text
    assert "[95 % over seeds and images]" in plain(text)
    assert "adjusted over all pairs: 5 of 6 pairs are separated; nobody is level with the first." in plain(text)


@pytest.mark.parametrize("shown", [markdown, printed, leaderboard_html])
def test_a_board_without_outcomes_says_that_its_intervals_are_over_seeds_alone(tested, shown):
    text = plain(shown(build_leaderboard(tested.suite, tested.cells)))
    assert "[95 % over seeds]" in text
    assert "Intervals are over seeds alone: which test images were predicted right is not kept" in text


def test_one_seed_is_called_this_run_only(make):
    one = make.tested(right({"none": 0.5, "good": 0.8}, seeds=1), LABELS_N)
    text = markdown(build_leaderboard(one.suite, one.cells, one.outcomes))
    assert "]<sup>1</sup> |" in text
    assert "1. this run only: 95 % over test images, for one seed tells nothing of others" in text
    assert "better |" not in text
    assert "range" not in text.split("## How to read")[0]


def test_csv_holds_standard_deviations_intervals_ranges_and_verdicts(tested):
    board = build_leaderboard(tested.suite, tested.cells, tested.outcomes)
    lines = list(csv.DictReader(io.StringIO(csv_text(board))))
    line = next(line for line in lines if (line["balancer"], line["metric"]) == ("good", "balanced accuracy"))
    assert float(line["difference_low"]) < float(line["difference_mean"]) < float(line["difference_high"])
    assert float(line["difference_std"]) > 0
    assert (line["rank"], line["rank_low"], line["rank_high"], line["level_with_first"]) == ("1", "1", "1", "True")
    assert (line["floor_verdict"], line["difference_interval"]) == ("better", "seeds and test images")
    assert float(line["difference_p"]) <= float(line["floor_p_adjusted"]) < 0.05
    other = next(line for line in lines if (line["balancer"], line["metric"]) == ("good", "loss"))
    assert (other["floor_verdict"], other["difference_interval"]) == ("", "seeds")


@pytest.mark.parametrize("shown", [markdown, printed, leaderboard_html])
def test_a_suite_of_two_tasks_begins_with_all_of_them(make, tested, shown):
    other = Task(dataset="letters", imbalancer="long_tail", classifier="small_cnn")
    second = make.tested(right({"none": 0.5, "good": 0.8, "bad": 0.3}), LABELS_N, task=other)
    board = build_leaderboard(tested.suite, tested.cells + second.cells, tested.outcomes | second.outcomes)
    text = shown(board)
    assert text.index("All 2 tasks") < text.index("digits / long_tail") < text.rindex("letters / long_tail")
    assert text.index("2 / 0 / 0") < text.index("digits / long_tail")
    assert "2 tasks allow no claim about others" in plain(text)
    assert "no rank in: same (letters / long_tail / small_cnn)" in plain(text)
    assert "All " not in shown(build_leaderboard(tested.suite, tested.cells, tested.outcomes)).split("How to read")[0]


def test_80_columns_have_room_for_the_difference_and_its_word(make):
    tested = make.tested(right({"none": 0.5, "random_undersampling": 0.8}), LABELS_N)
    console = Console(file=io.StringIO(), width=80)
    print_leaderboard(console, build_leaderboard(tested.suite, tested.cells, tested.outcomes))
    assert "] better" in console.file.getvalue()
