"""Numbers as people read them: what did not vary never looks like a measured spread."""

import pytest

from balancebench.leaderboard.board import Difference
from balancebench.leaderboard.format import alike_texts, difference_text, gap_text, signed_text, summary_text
from balancebench.leaderboard.intervals import Interval
from balancebench.leaderboard.statistics import summarise


@pytest.mark.parametrize(
    ("values", "unit", "text"),
    [
        ([0.952, 0.952, 0.952], "%", "95.20 (3 equal)"),
        ([0.952], "%", "95.20"),
        ([0.952, 0.954], "%", "95.30 ± 0.14"),
        ([0.952, 0.95201], "%", "95.20 ± <0.01"),
        ([1200.0, 1200.4], "MiB", "1,200 ± <1"),
        ([1.5, 1.5], "s", "1.50 s (2 equal)"),
        ([1.5, 1.501], "s", "1.50 s ± <0.01 s"),
        ([100.0, 200.0], "s", "2.5 min ± 70.7 s"),
        ([0.0, 0.0], "", "0.000 (2 equal)"),
        ([0.0051, 0.0052], "", "0.00515 ± 0.00007"),
    ],
)
def test_equal_values_say_so_and_a_small_deviation_is_never_0(values, unit, text):
    assert summary_text(summarise(values), unit) == text


def test_differences_that_are_equal_but_for_rounding_are_equal():
    differences = [0.3 - 0.2, 0.4 - 0.3, 0.7 - 0.6]
    assert len(set(differences)) > 1
    assert signed_text(summarise(differences), "%") == "+10.00 (3 equal)"


@pytest.mark.parametrize(
    ("difference", "unit", "text"),
    [
        (Difference(mean=0.095, full_interval=Interval(low=0.00456, high=0.18544)), "%", "+9.50 [+0.46, +18.54]"),
        (Difference(mean=-0.02, seeds_interval=Interval(low=-0.05, high=0.01)), "%", "-2.00 [-5.00, +1.00]"),
        (Difference(mean=0.02, run_interval=Interval(low=0.0, high=0.04)), "%", "+2.00 [0.00, +4.00]"),
        (Difference(mean=12.345, seeds_interval=Interval(low=2.0, high=22.7)), "", "+12.35 [+2.00, +22.70]"),
        (Difference(mean=3.0, seeds_interval=Interval(low=1.0, high=5.0)), "s", "+3.00 s"),
        (Difference(mean=0.02), "%", "+2.00"),
    ],
)
def test_a_difference_stands_with_its_sign_and_interval(difference, unit, text):
    assert difference_text(difference, unit) == text


def test_the_interval_over_seeds_and_images_stands_where_both_are_known():
    difference = Difference(
        mean=0.1, seeds_interval=Interval(low=0.05, high=0.15), full_interval=Interval(low=0.0, high=0.2)
    )
    assert difference_text(difference, "%") == "+10.00 [0.00, +20.00]"


def test_a_share_of_the_gap_stands_with_its_interval():
    assert gap_text(0.576) == "58 %"
    assert gap_text(0.576, Interval(low=0.052, high=0.783)) == "58 % [5, 78]"


def test_texts_that_differ_in_numbers_alone_are_one_with_their_ranges():
    flat = [
        f"flat images in {count} of 9 classes: contrast {share} of the real images'"
        for count, share in ((3, "0.12"), (1, "0.08"), (2, "0.08"))
    ]
    assert alike_texts([*flat, "it is old", flat[0]]) == [
        "flat images in 1 to 3 of 9 classes: contrast 0.08 to 0.12 of the real images'",
        "it is old",
    ]


def test_numbers_in_names_are_no_numbers():
    names = ["weights of resnet18", "weights of resnet50", "weights v1.5-a"]
    assert alike_texts(names) == names
