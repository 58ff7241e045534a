"""A row whose classifiers saw more or fewer images than the floor's says so, wherever it is shown."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from balancebench.leaderboard.format import exposure_text
from balancebench.leaderboard.markdown import markdown
from balancebench.leaderboard.table import build_leaderboard
from balancebench.leaderboard.terminal import print_leaderboard


@pytest.mark.parametrize(
    ("exposure", "words"),
    [
        (None, ""),
        (1.0, ""),
        (1.1, ""),
        (0.9, ""),
        (1.15, "1.15 x the images seen"),
        (0.134, "0.13 x the images seen"),
        (2.857, "2.9 x the images seen"),
        (124.6, "125 x the images seen"),
    ],
)
def test_a_difference_of_more_than_a_tenth_is_put_in_words(exposure, words):
    assert exposure_text(exposure) == words


@pytest.fixture
def board(make):
    cost = make.cell("any").cost
    cells = [
        make.cell("none", 0, 0.6, role="floor"),
        make.cell("smote", 0, 0.65),
        make.cell("random_oversampling", 0, 0.7, cost=replace(cost, images_seen=4640), used_withheld_data=True),
    ]
    return build_leaderboard(make.suite(), cells)


def test_markdown_and_notebook_say_it_behind_the_name_and_its_marks(board):
    for text in (markdown(board), board._repr_html_()):
        assert "random_oversampling †, 2.9 x the images seen" in text
        assert text.count("2.9 x the images seen<") + text.count("2.9 x the images seen |") == 1


def test_the_terminal_says_it_below_the_name(board):
    console = Console(width=80, file=io.StringIO(), highlight=False)
    print_leaderboard(console, board)
    lines = console.file.getvalue().splitlines()
    (row,) = (index for index, line in enumerate(lines) if "random_oversampling †" in line)
    assert lines[row + 1].split("  ")[1].strip() == "2.9 x the images seen"
    assert max(map(len, lines)) <= 80
