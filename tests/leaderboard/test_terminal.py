"""The table at the end of a run: it fits the terminal, and hides nothing that went wrong."""

import io

import pytest
from rich.console import Console

from balancebench.leaderboard.table import build_leaderboard
from balancebench.leaderboard.terminal import print_leaderboard
from balancebench.plan import Task


def printed(suite, cells, width=100):
    console = Console(width=width, file=io.StringIO(), highlight=False)
    print_leaderboard(console, build_leaderboard(suite, cells))
    return console.file.getvalue()


def line_of(text, balancer):
    return next(line for line in text.splitlines() if balancer in line)


def test_a_row_shows_rank_mean_difference_gap_time_and_cells(small):
    line = line_of(printed(small.suite, small.cells, 150), "smote").split("  ")
    assert [part.strip() for part in line if part.strip()] == [
        "1",
        "1-3",
        "smote",
        "71.00 ± 1.73",
        "+9.00 [+2.43, +15.57] level",
        "32 % [10, 50]",
        "3",
        "12.0 s",
        "1,600",
        "100",
        "300 MiB",
    ]


@pytest.mark.parametrize("width", [80, 100, 160])
def test_tables_fit_the_width_and_say_what_they_leave_out(make, small, width):
    metrics = tuple((name, "%", True) for name in ("balanced_accuracy", "accuracy", "f1", "few-shot accuracy"))
    cells = [
        make.cell(balancer, seed, {label: 0.5 + seed / 100 for label, *_ in metrics}, role=role)
        for balancer, role in (("none", "floor"), ("class_balanced_loss(beta=0.9999, gamma=2.0)", "entry"))
        for seed in (0, 1)
    ]
    text = printed(make.suite(metrics), cells, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "50.50 ± 0.71" in text
    if width < 160:
        assert "Not shown here:" in text


def test_what_a_step_warns_of_is_printed_below(make, small):
    text = printed(small.suite, [*small.cells, make.cell("old", 0, 0.5, warnings=("it is old",))], 120)
    assert "old §" in line_of(text, "old")
    assert "§ it is old (old)." in text


def test_what_failed_is_printed_below(make, small):
    text = printed(small.suite, [*small.cells, make.cell("half", 0, status="failed", message="it broke")])
    assert "0 of 1" in line_of(text, "half")
    assert "half, seed 0, failed: it broke" in text


def test_labels_are_not_taken_for_markup(make):
    assert "[red]odd[/red]" in printed(make.suite(), [make.cell("[red]odd[/red]", 0, 0.5)])


def test_a_profile_is_said_before_the_table(make, small):
    assert "Profile smoke: no results of the full suite." in printed(make.suite(profile="smoke"), small.cells)


def test_of_many_tables_the_first_are_printed_and_all_in_which_something_went_wrong(make):
    tasks = [Task(dataset="digits", imbalancer=f"imbalancer {index:02d}", classifier="cnn") for index in range(30)]
    cells = [make.cell("smote", 0, 0.5, task=task) for task in tasks]
    cells.append(make.cell("half", 0, task=tasks[27], status="failed", message="it broke"))
    text = printed(make.suite(), cells)
    shown = [task.imbalancer for task in tasks if task.imbalancer in text]
    assert shown == [task.imbalancer for task in (*tasks[:20], tasks[27])]
    assert "half, seed 0, failed: it broke" in text
    assert "9 more tables are in the Markdown file." in text
