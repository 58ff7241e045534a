"""Numbers as people read them: what did not vary never looks like a measured spread."""

import pytest

from balancebench.leaderboard.format import signed_text, summary_text
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
