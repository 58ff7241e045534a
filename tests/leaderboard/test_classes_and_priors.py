"""Who pays, other test priors, and what the test set gains by choosing the epoch."""

import numpy as np
import pytest

from balancebench.leaderboard.class_differences import class_differences
from balancebench.leaderboard.crossfit import cross_fitted_best
from balancebench.leaderboard.image_moments import image_moments
from balancebench.leaderboard.priors import (
    class_weights,
    corrected_predictions,
    effective_images,
    precision_of_classes,
    prior_grid,
)

LABELS_N = np.repeat([0, 1, 3], [200, 200, 100])  # class 2 has no test images


def two_rows(shares_2K, seeds=4):
    """Packed correctness (S, 2, bytes) of two rows that are right with these shares in classes 0, 1, 2, 3."""
    rng = np.random.default_rng(0)
    right_S2N = rng.random((seeds, 2, len(LABELS_N))) < np.asarray(shares_2K)[None, :, LABELS_N]
    return np.packbits(right_S2N, axis=2), right_S2N


def test_classes_that_gain_and_pay_are_told_from_those_that_do_neither():
    packed_S2B, right_S2N = two_rows([[0.9, 0.5, 0, 0.6], [0.6, 0.5, 0, 0.9]])
    zero, one, three = class_differences(packed_S2B, LABELS_N, 4)
    assert [zero.label, one.label, three.label] == [0, 1, 3]
    assert [zero.verdict, one.verdict, three.verdict] == ["gains", None, "pays"]
    recalls_S2 = right_S2N[:, :, LABELS_N == 3].mean(axis=2)
    assert three.mean == pytest.approx((recalls_S2[:, 0] - recalls_S2[:, 1]).mean())
    assert three.interval.low < three.mean < three.interval.high < 0
    assert not one.interval.excludes(0)


def test_classes_of_one_seed_have_differences_and_no_verdicts():
    packed_S2B, _ = two_rows([[0.9, 0.5, 0, 0.6], [0.6, 0.5, 0, 0.9]], seeds=1)
    assert [(of.interval, of.p_adjusted, of.verdict) for of in class_differences(packed_S2B, LABELS_N, 4)] == [
        (None, None, None)
    ] * 3


def test_a_prior_of_the_test_set_weighs_images_and_one_of_zero_drops_a_class():
    weights_K = class_weights(np.array([200, 200, 0, 100.0]))
    assert weights_K.tolist() == [0.4, 0.4, 0, 0.2]
    _, right_S2N = two_rows([[0.9, 0.5, 0, 0.6], [0.6, 0.5, 0, 0.9]])
    recalls_K = np.array([right_S2N[0, 0, label == LABELS_N].mean() if label != 2 else 0 for label in range(4)])
    assert weights_K @ recalls_K == pytest.approx(right_S2N[0, 0].mean())
    packed_S2B, _ = two_rows([[0.9, 0.5, 0, 0.6], [0.6, 0.5, 0, 0.9]])
    assert not np.isnan(image_moments(packed_S2B, LABELS_N, weights_K[None]).image_variance_WRR).any()
    for wrong in ([0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="prior"):
            class_weights(np.array(wrong))


def test_the_grid_goes_from_uniform_to_the_training_prior_and_its_reverse():
    grid_LK = prior_grid(np.array([70, 20, 10]))
    assert grid_LK[0] == pytest.approx([1 / 3] * 3)
    assert grid_LK[4] == pytest.approx([0.7, 0.2, 0.1])
    assert grid_LK[2] == pytest.approx((grid_LK[0] + grid_LK[4]) / 2)
    assert grid_LK[5] == pytest.approx([0.1, 0.2, 0.7])
    assert grid_LK.sum(axis=1) == pytest.approx(1)


def test_effective_images_are_all_of_them_under_their_own_prior_and_fewer_under_another():
    counts_K = np.array([900, 100])
    assert effective_images(np.array([0.9, 0.1]), counts_K) == pytest.approx(1000)
    assert effective_images(np.array([0.1, 0.9]), counts_K) == pytest.approx(1 / (0.01 / 900 + 0.81 / 100))
    assert effective_images(np.array([0.5, 0.5]), np.array([10, 0])) == 0


def test_precision_moves_with_the_prior():
    confusion_KK = np.array([[90, 10], [20, 80]])
    # P(0 | predicted 0) = .9 p / (.9 p + .2 (1 - p))
    assert precision_of_classes(confusion_KK, np.array([0.5, 0.5]))[0] == pytest.approx(0.45 / 0.55)
    assert precision_of_classes(confusion_KK, np.array([0.9, 0.1]))[0] == pytest.approx(0.81 / 0.83)
    assert np.isnan(precision_of_classes(np.array([[5, 0], [5, 0]]), np.array([0.5, 0.5]))[1])


def test_logits_are_moved_from_the_prior_they_imply_to_another():
    posterior_2 = np.array([0.8, 0.2])  # learnt where class 0 is nine times as frequent
    logits_NK = np.log(posterior_2)[None].astype(np.float32)
    train_K, uniform_K = np.array([0.9, 0.1]), np.array([0.5, 0.5])
    # .8 / .9 against .2 / .1
    assert corrected_predictions(logits_NK, train_K, uniform_K).tolist() == [1]
    assert corrected_predictions(logits_NK, train_K, train_K).tolist() == [0]
    assert corrected_predictions(logits_NK, train_K, np.array([1.0, 0.0])).tolist() == [0]


def test_choosing_the_epoch_by_the_test_set_is_optimistic_and_cross_fitting_is_not():
    rng = np.random.default_rng(1)
    labels_N = np.repeat([0, 1], 60)
    trainings = [rng.random((50, 120)) < 0.7 for _ in range(20)]  # every epoch is as good as any other
    fits = [cross_fitted_best(correct_EN, labels_N, np.array([0.5, 0.5]), seed=0) for correct_EN in trainings]
    assert np.mean([fit.best for fit in fits]) > 0.78
    assert abs(np.mean([fit.cross_fitted for fit in fits]) - 0.7) < 0.03
    correct_EN, fit = trainings[0], fits[0]
    assert fit.best == pytest.approx(correct_EN.mean(axis=1).max())
    assert fit.last == pytest.approx(correct_EN[-1].mean())
    assert fit.chosen_by_the_test_set + fit.gained_by_stopping_early == pytest.approx(fit.best - fit.last)
    assert cross_fitted_best(correct_EN, labels_N, np.array([0.5, 0.5]), seed=0) == fit


def test_an_epoch_that_is_better_on_all_images_is_chosen_by_every_half():
    labels_N = np.repeat([0, 1], 10)
    correct_EN = np.stack([np.arange(20) % 2 == 0, np.ones(20, dtype=bool), np.zeros(20, dtype=bool)])
    fit = cross_fitted_best(correct_EN, labels_N, np.array([0.5, 0.5]), seed=0)
    assert (fit.best, fit.cross_fitted, fit.last) == (pytest.approx(1), pytest.approx(1), 0)
    with pytest.raises(ValueError, match="halved"):
        cross_fitted_best(correct_EN[:, :11], labels_N[:11], np.array([0.5, 0.5]), seed=0)
