"""Class weights, priors and sampling weights, against hand-computed cases."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from balancebench import BalancerError, LabelledImages
from balancebench_longtail.class_statistics import (
    DeviceVector,
    class_counts_of,
    effective_number_weights,
    image_sampling_weights,
    log_prior,
    power_weights,
)

MakeTrain = Callable[..., LabelledImages]
CIFAR10_LT_100 = np.array([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50], dtype=np.float64)


def test_inverse_frequency_weights_sum_to_the_number_of_classes():
    # 1/8, 1/4, 1/2 over their sum 7/8, times 3
    np.testing.assert_allclose(power_weights(np.array([8.0, 4.0, 2.0]), 1.0), [3 / 7, 6 / 7, 12 / 7])


def test_inverse_square_root_weights_follow_the_root_of_the_counts():
    # 1/2, 1/3, 1/6 sum to 1
    np.testing.assert_allclose(power_weights(np.array([4.0, 9.0, 36.0]), 0.5), [1.5, 1.0, 0.5])


def test_effective_number_weights_of_a_hand_computed_case():
    # beta 1/2: 1 - 1/2 = 1/2 over 1 - 1/2, 1 - 1/4, 1 - 1/8 gives 1, 2/3, 4/7, whose sum is 47/21
    weights = effective_number_weights(np.array([1.0, 2.0, 3.0]), 0.5)
    np.testing.assert_allclose(weights, np.array([1.0, 2 / 3, 4 / 7]) * 3 * 21 / 47)


def test_effective_number_weights_agree_with_the_published_formula_on_cifar10_lt():
    for beta in (0.9, 0.99, 0.999, 0.9999):
        direct = (1 - beta) / (1 - np.power(beta, CIFAR10_LT_100))
        np.testing.assert_allclose(effective_number_weights(CIFAR10_LT_100, beta), direct / direct.sum() * 10)


def test_beta_zero_weights_all_classes_alike_and_beta_one_is_inverse_frequency():
    np.testing.assert_array_equal(effective_number_weights(CIFAR10_LT_100, 0.0), np.ones(10))
    np.testing.assert_allclose(effective_number_weights(CIFAR10_LT_100, 1.0), power_weights(CIFAR10_LT_100, 1.0))


def test_weights_approach_inverse_frequency_as_beta_approaches_one():
    limit = effective_number_weights(CIFAR10_LT_100, 1.0)
    gaps = [abs(effective_number_weights(CIFAR10_LT_100, 1 - 10.0**-k) - limit).max() for k in (4, 6, 8, 10, 15)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-10  # the formula as it is written gives 0 / 0 here


def test_log_prior_is_the_logarithm_of_each_class_share():
    np.testing.assert_allclose(np.exp(log_prior(np.array([6.0, 3.0, 1.0]))), [0.6, 0.3, 0.1])


def test_image_weights_give_each_class_its_probability_and_its_images_equal_ones(make_train: MakeTrain):
    train = make_train(8, 3, 1)
    weight_N = image_sampling_weights(train.labels_N, np.array([1.0, 1.0, 2.0]))
    for label, probability in enumerate([0.25, 0.25, 0.5]):
        of_class = weight_N[train.labels_N == label]
        np.testing.assert_allclose(of_class, probability / len(of_class))


def test_a_class_without_images_and_a_single_class_are_refused_by_name(make_train: MakeTrain):
    with pytest.raises(BalancerError, match="class 'cat' has no images"):
        class_counts_of(make_train(5, 0, 2))
    for train in (make_train(5), make_train(5, 0)):
        with pytest.raises(BalancerError, match="only class 'bird' has images"):
            class_counts_of(train)


def test_a_device_vector_is_copied_once_and_may_be_made_while_predicting():
    vector = DeviceVector(np.array([1.0, 2.0]))
    with torch.inference_mode():
        first = vector.on(torch.device("cpu"))
    assert vector.on(torch.device("cpu")) is first
    assert first.dtype == torch.float32
    logits = torch.zeros(2, requires_grad=True)
    (logits * first).sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [1.0, 2.0]
