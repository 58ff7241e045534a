"""Which images are compared: evenly drawn, the same for every metric, whatever the classes are called by number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancebench import PartlyUndefined, Undefined
from balancebench_quality.selection import by_class, draw, even_counts


@pytest.mark.parametrize(
    ("available", "limit", "expected"),
    [
        ([5, 5, 5], 100, [5, 5, 5]),
        ([5, 5, 5], 9, [3, 3, 3]),
        ([5, 5, 5], 11, [3, 3, 3]),
        ([1, 10, 10], 11, [1, 5, 5]),
        ([0, 10, 2], 8, [0, 6, 2]),
        ([4, 4], 1, [0, 0]),
    ],
)
def test_counts_are_even(available, limit, expected):
    assert even_counts(np.array(available), limit).tolist() == expected


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(2, 150))
def test_counts_are_the_largest_even_ones_within_the_limit(available, limit):
    counts_K = even_counts(np.array(available), limit)
    levels = [[min(count, level) for count in available] for level in range(max(available) + 1)]
    assert counts_K.tolist() == max((counts for counts in levels if sum(counts) <= limit), key=sum)


def test_a_draw_takes_so_many_of_each_class_and_a_smaller_one_a_part_of_them(make_images):
    images = make_images([30, 20, 10])
    larger = draw(images, "kept", np.array([15, 20, 0]))
    assert np.bincount(images.labels_N[larger], minlength=3).tolist() == [15, 20, 0]
    assert len(np.unique(larger)) == 35
    smaller = draw(images, "kept", np.array([5, 3, 0]))
    assert set(smaller) < set(larger)
    assert set(draw(images, "test", np.array([15, 0, 0]))) != set(larger[images.labels_N[larger] == 0])


def test_a_draw_does_not_depend_on_the_numbers_of_the_classes(make_images):
    images = make_images([30, 20])
    renamed = replace(images, labels_N=1 - images.labels_N, class_names=images.class_names[::-1])
    assert np.array_equal(draw(images, "x", np.array([7, 4])), draw(renamed, "x", np.array([4, 7])))


def test_values_of_classes_come_with_the_reasons_of_those_that_have_none():
    value = by_class(("a", "b", "c", "d"), {0: 1.5, 1: "too few", 2: 2.5, 3: "too few"}.__getitem__)
    assert isinstance(value, PartlyUndefined)
    np.testing.assert_array_equal(value.values_K, [1.5, np.nan, 2.5, np.nan])
    assert value.reason == "too few: 'b', 'd'"
    assert by_class(("a", "b"), lambda _: 1.0).tolist() == [1.0, 1.0]
    none = by_class([f"class {label}" for label in range(20)], lambda label: "too few" if label else "none made")
    assert isinstance(none, Undefined)
    assert none.reason.startswith("none made: 'class 0'; too few: 'class 1', ")
    assert none.reason.endswith("'class 8' and 11 more")
