"""Metrics of how imbalanced a training subset is, against hand-computed cases and their definitions."""

from typing import Any

import numpy as np
import pytest

from balancebench import LabelledImages, SubsetEvaluation, Undefined
from balancebench.builtin.metrics.components import METRICS

COMPONENTS = {component.name: component for component in METRICS}


def labelled(counts_K) -> LabelledImages:
    labels_N = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts_K), dtype=np.int64), counts_K))
    return LabelledImages(
        images_NCHW=np.zeros((len(labels_N), 1, 1, 1), dtype=np.uint8),
        labels_N=labels_N,
        class_names=tuple(f"class {label}" for label in range(len(counts_K))),
    )


def value(name: str, counts_K) -> Any:
    component = COMPONENTS[name]
    evaluation = SubsetEvaluation(
        train=labelled(counts_K), test_images_NCHW=labelled([1] * len(counts_K)).images_NCHW, device="cpu"
    )
    return component.create(component.options())(evaluation)


def test_class_counts_are_the_training_images_of_each_class_empty_ones_included():
    counts_K = value("class_counts", [5, 0, 3])
    np.testing.assert_array_equal(counts_K, [5, 0, 3])
    assert counts_K.dtype == np.int64


def test_the_imbalance_ratio_is_that_of_the_largest_class_to_the_smallest():
    assert value("imbalance_ratio", [20, 500, 5, 100]) == 100.0
    assert value("imbalance_ratio", [7, 2]) == 3.5
    assert value("imbalance_ratio", [4, 4, 4]) == 1.0


def test_the_imbalance_ratio_is_undefined_where_a_class_is_empty_and_says_how_many_are():
    assert value("imbalance_ratio", [5, 0, 3, 0]) == Undefined("2 of 4 classes have no training images")


@pytest.mark.parametrize(
    ("counts_K", "expected"),
    [
        ([6, 6, 6], 0.0),
        ([9], 0.0),
        # |3 - 1| twice over 2 * 4 * 2.
        ([3, 1], 0.25),
        # (1 + 3 + 2) * 2 over 2 * 9 * 7 / 3.
        ([4, 1, 2], 12 / 42),
        # One class has all: (K - 1) / K.
        ([0, 0, 10, 0], 0.75),
    ],
)
def test_the_gini_coefficient_of_cases_worked_out_by_hand(counts_K, expected):
    assert value("gini_coefficient", counts_K) == pytest.approx(expected, rel=1e-15)


def test_the_gini_coefficient_follows_its_definition_over_pairs_of_classes():
    rng = np.random.default_rng(1)
    for class_count in (2, 3, 10, 100):
        counts_K = rng.integers(0, 60, class_count)
        differences_KK = np.abs(counts_K[:, None] - counts_K)
        expected = differences_KK.sum() / (2 * class_count**2 * counts_K.mean())
        assert value("gini_coefficient", counts_K) == pytest.approx(expected, rel=1e-12)


def test_the_gini_coefficient_of_no_images_is_undefined():
    assert value("gini_coefficient", [0, 0, 0]) == Undefined("there are no training images")


def test_numbers_are_floats():
    assert type(value("imbalance_ratio", [4, 2])) is float
    assert type(value("gini_coefficient", [4, 2])) is float
