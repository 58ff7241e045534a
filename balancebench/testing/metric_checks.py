"""Checks of metrics of cells.

Axis suffixes: N images, K classes.
"""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.component import MetricComponent
from balancebench.data import LabelledImages
from balancebench.evaluation import Evaluation, EvaluationImages
from balancebench.testing.metric_values import (
    alike,
    check_follows,
    check_ordinary_value,
    check_value,
    computed_value,
    renamed,
)
from balancebench.testing.subject import Body, image_arrays
from balancebench.testing.tiny import tiny_evaluation
from balancebench.testing.watch import expect_untouched, global_random_state_untouched, other_global_seeds

__all__ = ["METRIC_CHECKS"]

Subject = MetricComponent[Any]


def gives_a_number_or_numbers_of_classes(component: Subject) -> None:
    """A float, one float a class, a matrix of classes, or Undefined with a reason; "%" lies in 0..1."""
    check_ordinary_value(component, _value(component, tiny_evaluation()))


def follows_a_renaming_of_the_classes(component: Subject) -> None:
    """Numbering the classes otherwise moves values with their classes and changes nothing else."""
    evaluation = tiny_evaluation((30, 20, 10, 5))
    for order in ([1, 2, 3, 0], [2, 0, 3, 1]):  # no permutation but "unchanged" commutes with both
        _check_renaming(component, evaluation, np.array(order))


def does_not_depend_on_the_order_of_images(component: Subject) -> None:
    """Test images have no order."""
    evaluation = tiny_evaluation()
    order_N = np.random.default_rng(4).permutation(len(evaluation.labels_N))
    shuffled = replace(
        evaluation,
        logits_NK=evaluation.logits_NK[order_N],
        labels_N=evaluation.labels_N[order_N],
        images=replace(_images(evaluation), test=lambda: _images(evaluation).test().take(order_N)),
    )
    before, after = _value(component, evaluation), _value(component, shuffled)
    assert alike(before, after), f"with the images in another order it is {after} instead of {before}"


def ranks_right_above_wrong(component: Subject) -> None:
    """`higher_is_better` points the right way: all right is not worse than all wrong."""
    right, wrong = (_value(component, tiny_evaluation(hit_rate=rate)) for rate in (1.0, 0.0))
    if component.higher_is_better is None or not (isinstance(right, float) and isinstance(wrong, float)):
        return
    better = right >= wrong if component.higher_is_better else right <= wrong
    assert better, f"all right scores {right}, all wrong {wrong}; higher_is_better={component.higher_is_better}"


def same_evaluation_gives_the_same_value(component: Subject) -> None:
    """A metric draws nothing."""
    evaluation = tiny_evaluation()
    values: list[Any] = []
    for global_seed in (1, 2):
        with other_global_seeds(global_seed):
            values.append(_value(component, evaluation))
    assert alike(*values), f"two calls with one evaluation give {values[0]} and {values[1]}"


def leaves_its_inputs_alone(component: Subject) -> None:
    """Every metric of a suite sees the same arrays."""
    evaluation = tiny_evaluation()
    arrays: dict[str, NDArray[Any]] = {
        "logits": evaluation.logits_NK,
        "labels": evaluation.labels_N,
        "training counts": evaluation.train_counts_K,
        **image_arrays("synthetic", _images(evaluation).synthetic()),
        **image_arrays("kept", _images(evaluation).kept()),
        **image_arrays("training", _images(evaluation).full_train()),
        **image_arrays("test", _images(evaluation).test()),
    }
    with expect_untouched(arrays):
        _value(component, evaluation)


def leaves_global_random_state_alone(component: Subject) -> None:
    """It neither draws from nor seeds a global generator."""
    with global_random_state_untouched():
        _value(component, tiny_evaluation())


def has_a_value_or_a_reason_without_test_images(component: Subject) -> None:
    """No test image at all, and a class without one, give Undefined, a value, or NaN for the class."""
    for test_counts in ((30, 20, 0), (30, 0, 0), (0, 0, 0)):
        check_value(_value(component, tiny_evaluation(test_counts)), class_count=3)


def has_a_value_or_a_reason_for_few_training_images(component: Subject) -> None:
    """Groups of classes by their training images may be empty."""
    for train_counts in ((5000, 0, 0), (1, 1, 1), (0, 0, 0), (5000, 5000, 5000)):
        check_value(_value(component, tiny_evaluation(train_counts=train_counts)), class_count=3)


def has_a_value_or_a_reason_for_a_broken_classifier(component: Subject) -> None:
    """A training run that diverged predicts NaN or infinity, or one class for everything."""
    evaluation = tiny_evaluation()
    one_class_NK = np.zeros_like(evaluation.logits_NK)
    one_class_NK[:, 1] = 1
    for logits_NK in (np.full_like(one_class_NK, np.nan), np.full_like(one_class_NK, np.inf), one_class_NK):
        check_value(_value(component, replace(evaluation, logits_NK=logits_NK)), class_count=3)


def has_a_value_or_a_reason_without_images(component: Subject) -> None:
    """There may be predictions alone; a balancer may train no generator, make nothing up, or nothing of a class."""
    evaluation = tiny_evaluation()
    images, synthetic = _images(evaluation), _images(evaluation).synthetic()
    assert synthetic is not None
    without_synthetic = replace(images, synthetic=lambda: None, draw=_draw_nothing)
    without_generator = replace(images, draw=_draw_nothing)
    one_class = replace(images, synthetic=lambda: synthetic.take(np.flatnonzero(synthetic.labels_N == 1)))
    for given in (None, without_synthetic, without_generator, one_class):
        check_value(_value(component, replace(evaluation, images=given)), class_count=3)


METRIC_CHECKS: tuple[Body, ...] = (
    gives_a_number_or_numbers_of_classes,
    follows_a_renaming_of_the_classes,
    does_not_depend_on_the_order_of_images,
    ranks_right_above_wrong,
    same_evaluation_gives_the_same_value,
    leaves_its_inputs_alone,
    leaves_global_random_state_alone,
    has_a_value_or_a_reason_without_test_images,
    has_a_value_or_a_reason_for_few_training_images,
    has_a_value_or_a_reason_for_a_broken_classifier,
    has_a_value_or_a_reason_without_images,
)


def _check_renaming(component: Subject, evaluation: Evaluation, order_K: NDArray[np.int64]) -> None:
    """Fail where the value changes when the class order_K[k] becomes class k."""
    rank_K = np.argsort(order_K)
    numbered_otherwise = replace(
        evaluation,
        logits_NK=evaluation.logits_NK[:, order_K],
        labels_N=rank_K[evaluation.labels_N],
        class_names=tuple(evaluation.class_names[label] for label in order_K),
        train_counts_K=evaluation.train_counts_K[order_K],
        images=_renamed(_images(evaluation), order_K),
    )
    check_follows(_value(component, evaluation), _value(component, numbered_otherwise), order_K)


def _images(evaluation: Evaluation) -> EvaluationImages:
    assert evaluation.images is not None
    return evaluation.images


def _draw_nothing(_counts_K: NDArray[np.int64]) -> LabelledImages | None:
    return None


def _renamed(images: EvaluationImages, order_K: NDArray[np.int64]) -> EvaluationImages:
    """Return the same images where the class order_K[k] has become class k."""
    rank_K = np.argsort(order_K)

    def of(read: Callable[[], LabelledImages]) -> Callable[[], LabelledImages]:
        return lambda: renamed(read(), order_K)

    def draw(counts_K: NDArray[np.int64]) -> LabelledImages | None:
        drawn = images.draw(counts_K[rank_K])
        return None if drawn is None else renamed(drawn, order_K)

    synthetic = images.synthetic()
    return replace(
        images,
        synthetic=lambda: None if synthetic is None else renamed(synthetic, order_K),
        draw=draw,
        kept=of(images.kept),
        full_train=of(images.full_train),
        test=of(images.test),
    )


def _value(component: Subject, evaluation: Evaluation) -> Any:
    """Return the metric's value, computed with an empty memory."""
    images = evaluation.images
    fresh = evaluation if images is None else replace(evaluation, images=replace(images, memory={}))
    return computed_value(component, fresh)
