"""Checks of metrics of the training subset.

Axis suffixes: N images, K classes.
"""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from balancebench.component import MetricComponent
from balancebench.testing.metric_values import (
    alike,
    check_follows,
    check_ordinary_value,
    check_value,
    computed_value,
    renamed,
)
from balancebench.testing.subject import Body, image_arrays
from balancebench.testing.tiny import tiny_subset_evaluation
from balancebench.testing.watch import expect_untouched, global_random_state_untouched, other_global_seeds

__all__ = ["SUBSET_METRIC_CHECKS"]

Subject = MetricComponent[Any]


def gives_a_number_or_numbers_of_classes(component: Subject) -> None:
    """A float, one float a class, a matrix of classes, or Undefined with a reason; "%" lies in 0..1."""
    check_ordinary_value(component, computed_value(component, tiny_subset_evaluation()))


def follows_a_renaming_of_the_classes(component: Subject) -> None:
    """Numbering the classes otherwise moves values with their classes and changes nothing else."""
    evaluation = tiny_subset_evaluation((30, 20, 10, 5))
    before = computed_value(component, evaluation)
    for order in ([1, 2, 3, 0], [2, 0, 3, 1]):  # no permutation but "unchanged" commutes with both
        order_K = np.array(order)
        train = renamed(evaluation.train, order_K)
        check_follows(before, computed_value(component, replace(evaluation, train=train)), order_K)


def does_not_depend_on_the_order_of_images(component: Subject) -> None:
    """Neither training nor test images have an order."""
    evaluation = tiny_subset_evaluation()
    rng = np.random.default_rng(4)
    train = evaluation.train.take(rng.permutation(len(evaluation.train)))
    test_images_NCHW = evaluation.test_images_NCHW[rng.permutation(len(evaluation.test_images_NCHW))]
    before = computed_value(component, evaluation)
    after = computed_value(component, replace(evaluation, train=train, test_images_NCHW=test_images_NCHW))
    assert alike(before, after), f"with the images in another order it is {after} instead of {before}"


def same_evaluation_gives_the_same_value(component: Subject) -> None:
    """A metric draws nothing."""
    values: list[Any] = []
    for global_seed in (1, 2):
        with other_global_seeds(global_seed):
            values.append(computed_value(component, tiny_subset_evaluation()))
    assert alike(*values), f"two calls with one evaluation give {values[0]} and {values[1]}"


def leaves_its_inputs_alone(component: Subject) -> None:
    """Every metric of a suite sees the same arrays."""
    evaluation = tiny_subset_evaluation()
    arrays = {
        **image_arrays("the training", evaluation.train),
        "the test images": np.asarray(evaluation.test_images_NCHW),
    }
    with expect_untouched(arrays):
        computed_value(component, evaluation)


def leaves_global_random_state_alone(component: Subject) -> None:
    """It neither draws from nor seeds a global generator."""
    with global_random_state_untouched():
        computed_value(component, tiny_subset_evaluation())


def has_a_value_or_a_reason_for_few_images(component: Subject) -> None:
    """Classes of one training image or none, a set of one image, and classes without test images can occur."""
    for train_counts in ((5, 1, 1), (40, 10, 0), (40, 0, 0), (1, 0, 0)):
        check_value(computed_value(component, tiny_subset_evaluation(train_counts)), class_count=3)
    for test_counts in ((1, 1, 1), (10, 10, 0)):
        check_value(computed_value(component, tiny_subset_evaluation(test_counts=test_counts)), class_count=3)


SUBSET_METRIC_CHECKS: tuple[Body, ...] = (
    gives_a_number_or_numbers_of_classes,
    follows_a_renaming_of_the_classes,
    does_not_depend_on_the_order_of_images,
    same_evaluation_gives_the_same_value,
    leaves_its_inputs_alone,
    leaves_global_random_state_alone,
    has_a_value_or_a_reason_for_few_images,
)
