"""Metrics of predicted probabilities against scikit-learn and hand-computed cases."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as reference

from balancebench import Evaluation, Undefined
from balancebench.builtin.metrics.components import METRICS
from balancebench.evaluation import Cost

COMPONENTS = {component.name: component for component in METRICS}

# torchmetrics divides counts in float32.
TOLERANCE = 1e-6


def score(name: str, evaluation: Evaluation, **options: Any) -> Any:
    component = COMPONENTS[name]
    return component.create(component.options(**options))(evaluation)


def evaluation_of(logits_NK, labels_N) -> Evaluation:
    logits_NK = np.asarray(logits_NK, dtype=np.float32)
    class_count = logits_NK.shape[1]
    return Evaluation(
        logits_NK=logits_NK,
        labels_N=np.asarray(labels_N, dtype=np.int64),
        class_names=tuple(f"class {class_id}" for class_id in range(class_count)),
        train_counts_K=np.full(class_count, 50),
        cost=Cost(duration_seconds=1.0, images_seen=1, optimiser_steps=1, peak_memory_bytes=1),
    )


def binary_logits(confidences_N) -> np.ndarray:
    """Return logits (N, 2) whose class 1 has these probabilities."""
    confidences_N = np.asarray(confidences_N)
    return np.stack([np.zeros_like(confidences_N), np.log(confidences_N / (1 - confidences_N))], axis=1)


def random_cases(*, all_classes_present: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Logits that know a little about their labels; every third case is coarse, so that scores tie."""
    for seed in range(45):
        rng = np.random.default_rng(seed)
        class_count = int(rng.choice([2, 3, 10, 100]))
        image_count = int(rng.choice([1, 2, 20, 300]))
        labels_N = rng.choice(class_count, image_count, p=rng.dirichlet(np.ones(class_count)))
        if all_classes_present:
            labels_N = np.concatenate([labels_N, np.arange(class_count)])
        logits_NK = rng.normal(0, 2, (len(labels_N), class_count)) + 2 * np.eye(class_count)[labels_N]
        yield (np.round(logits_NK / 2) if seed % 3 == 0 else logits_NK).astype(np.float32), labels_N


def probabilities_of(logits_NK):
    return softmax(logits_NK.astype(np.float64), axis=1)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_roc_auc_agrees_with_scikit_learn_one_against_rest(average):
    for logits_NK, labels_N in random_cases(all_classes_present=True):
        probabilities_NK = probabilities_of(logits_NK)
        expected = reference.roc_auc_score(
            labels_N,
            probabilities_NK[:, 1] if logits_NK.shape[1] == 2 else probabilities_NK,
            multi_class="ovr",
            average=average,
        )
        actual = score("roc_auc", evaluation_of(logits_NK, labels_N), average=average)
        assert actual == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "expected_score"),
    [("roc_auc", reference.roc_auc_score), ("average_precision", reference.average_precision_score)],
)
def test_one_against_rest_scores_of_each_class_agree_with_scikit_learn_and_skip_absent_classes(name, expected_score):
    for logits_NK, labels_N in random_cases(all_classes_present=False):
        probabilities_NK = probabilities_of(logits_NK)
        expected_K = np.full(logits_NK.shape[1], np.nan)
        for class_id in np.unique(labels_N):
            if name == "average_precision" or (labels_N != class_id).any():
                expected_K[class_id] = expected_score(labels_N == class_id, probabilities_NK[:, class_id])
        evaluation = evaluation_of(logits_NK, labels_N)
        if np.isnan(expected_K).all():
            assert score(name, evaluation, average="none") == Undefined("the test images are all of one class")
            continue
        np.testing.assert_allclose(score(name, evaluation, average="none"), expected_K, atol=TOLERANCE)
        assert score(name, evaluation) == pytest.approx(np.nanmean(expected_K), abs=TOLERANCE)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_average_precision_agrees_with_scikit_learn(average):
    for logits_NK, labels_N in random_cases(all_classes_present=True):
        # Both columns of one-hot labels, because scikit-learn binarises two classes into one column.
        expected = reference.average_precision_score(
            np.eye(logits_NK.shape[1])[labels_N], probabilities_of(logits_NK), average=average
        )
        actual = score("average_precision", evaluation_of(logits_NK, labels_N), average=average)
        assert actual == pytest.approx(expected, abs=TOLERANCE)


def test_roc_auc_of_two_classes_is_the_share_of_pairs_in_the_right_order():
    # Positives 0.8 and 0.4 against negatives 0.6 and 0.2: three of four pairs.
    evaluation = evaluation_of(binary_logits([0.8, 0.4, 0.6, 0.2]), [1, 1, 0, 0])
    np.testing.assert_allclose(score("roc_auc", evaluation, average="none"), [0.75, 0.75], atol=TOLERANCE)


def test_constant_logits_have_an_roc_auc_of_one_half_and_an_average_precision_of_the_prevalence():
    evaluation = evaluation_of(np.zeros((4, 3)), [0, 0, 1, 2])
    np.testing.assert_allclose(score("roc_auc", evaluation, average="none"), [0.5, 0.5, 0.5])
    np.testing.assert_allclose(score("average_precision", evaluation, average="none"), [0.5, 0.25, 0.25])


def test_confident_probabilities_that_float32_rounds_to_one_are_still_ranked():
    evaluation = evaluation_of([[0, 25], [0, 24], [0, 23]], [1, 1, 0])
    assert score("roc_auc", evaluation) == 1.0


def test_loss_agrees_with_scikit_learn():
    for logits_NK, labels_N in random_cases(all_classes_present=False):
        expected = reference.log_loss(labels_N, probabilities_of(logits_NK), labels=range(logits_NK.shape[1]))
        assert score("loss", evaluation_of(logits_NK, labels_N)) == pytest.approx(expected, rel=1e-9)


def test_loss_of_constant_logits_is_the_logarithm_of_the_class_count():
    assert score("loss", evaluation_of(np.full((5, 10), 7.0), [0, 1, 2, 3, 4])) == pytest.approx(np.log(10))


def test_loss_of_huge_logits_is_their_difference_without_overflow():
    # Two float32 logits 6e38 apart: the difference does not fit into float32.
    assert score("loss", evaluation_of([[3e38, -3e38], [3e38, -3e38]], [0, 1])) == pytest.approx(3e38, rel=1e-6)


def test_loss_of_probabilities_starts_at_the_floor_that_ten_classes_leave_it():
    certain_NK = 1e6 * np.eye(10)
    # log(e + 9) - 1 = log(11.718282) - 1 where all is right; one more where all is wrong.
    right, wrong = evaluation_of(certain_NK, np.arange(10)), evaluation_of(certain_NK, np.roll(np.arange(10), 1))
    assert score("loss", right, of="probabilities") == pytest.approx(1.461150, abs=1e-6)
    assert score("loss", wrong, of="probabilities") == pytest.approx(2.461150, abs=1e-6)


def test_loss_of_probabilities_softmaxes_them_once_more():
    # Probabilities 0.75 and 0.25: log(e^0.75 + e^0.25) - 0.75 = log(3.401025) - 0.75 of one, and 0.5 more of the other.
    evaluation = evaluation_of([[np.log(3), 0], [0, np.log(3)]], [0, 0])
    assert score("loss", evaluation, of="probabilities") == pytest.approx((0.474077 + 0.974077) / 2, abs=1e-6)


def test_loss_of_equal_probabilities_is_that_of_equal_logits():
    # Ten equal probabilities of 0.1 are ten equal logits: log(10), as of logits.
    assert score("loss", evaluation_of(np.zeros((1, 10)), [3]), of="probabilities") == pytest.approx(np.log(10))


def expected_calibration_error_by_definition(confidence_N, correct_N, bins):
    """Sum over bins of |accuracy - confidence| times the bin's share of images (Guo et al. 2017, equation 3)."""
    total = 0.0
    for bin_id in range(bins):
        lower, upper = bin_id / bins, (bin_id + 1) / bins
        inside_N = (confidence_N >= lower) & ((confidence_N < upper) | (bin_id == bins - 1))
        if inside_N.any():
            total += abs(correct_N[inside_N].mean() - confidence_N[inside_N].mean()) * inside_N.mean()
    return total


@pytest.mark.parametrize("bins", [1, 15, 100])
def test_expected_calibration_error_follows_its_definition(bins):
    for logits_NK, labels_N in random_cases(all_classes_present=False):
        if len(np.unique(logits_NK)) < logits_NK.size / 2:
            continue  # coarse logits put probabilities on bin edges, where rounding decides the bin
        probabilities_NK = probabilities_of(logits_NK)
        expected = expected_calibration_error_by_definition(
            probabilities_NK.max(axis=1), probabilities_NK.argmax(axis=1) == labels_N, bins
        )
        actual = score("expected_calibration_error", evaluation_of(logits_NK, labels_N), bins=bins)
        assert actual == pytest.approx(expected, abs=1e-9)


def test_a_confidence_of_one_shares_the_last_bin():
    # One bin: accuracy 3/4 against confidence 0.975. A bin of its own for confidence 1 would give 0.275.
    logits_NK = np.concatenate([[[0.0, 1e6], [0.0, 1e6]], binary_logits([0.95, 0.95])])
    evaluation = evaluation_of(logits_NK, [1, 0, 1, 1])
    assert score("expected_calibration_error", evaluation) == pytest.approx(0.225, abs=1e-6)


def test_a_right_and_certain_classifier_is_calibrated_and_a_wrong_and_certain_one_is_not():
    logits_NK = 1e6 * np.eye(3)
    assert score("expected_calibration_error", evaluation_of(logits_NK, [0, 1, 2])) == pytest.approx(0, abs=1e-9)
    assert score("expected_calibration_error", evaluation_of(logits_NK, [1, 2, 0])) == pytest.approx(1, abs=1e-9)


def test_a_single_test_image_has_loss_calibration_and_average_precision_but_no_roc_auc():
    evaluation = evaluation_of(binary_logits([0.75]), [1])
    assert score("loss", evaluation) == pytest.approx(-np.log(0.75), rel=1e-6)
    assert score("expected_calibration_error", evaluation) == pytest.approx(0.25, abs=1e-6)
    np.testing.assert_array_equal(score("average_precision", evaluation, average="none"), [np.nan, 1.0])
    assert score("roc_auc", evaluation) == Undefined("the test images are all of one class")
