"""Metrics of predicted classes against scikit-learn, imbalanced-learn and hand-computed cases."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from balancebench import DataError, Evaluation, Undefined
from balancebench.builtin.metrics.components import METRICS
from balancebench.evaluation import Cost

COMPONENTS = {component.name: component for component in METRICS}


def score(name: str, evaluation: Evaluation, **options: Any) -> Any:
    component = COMPONENTS[name]
    return component.create(component.options(**options))(evaluation)


def evaluation_of(predicted_N, labels_N, class_count, train_counts_K=None) -> Evaluation:
    return Evaluation(
        logits_NK=np.eye(class_count, dtype=np.float32)[np.asarray(predicted_N)],
        labels_N=np.asarray(labels_N, dtype=np.int64),
        class_names=tuple(f"class {chr(97 + class_id % 26)}{class_id}" for class_id in range(class_count)),
        train_counts_K=np.asarray(train_counts_K if train_counts_K is not None else [50] * class_count),
        cost=Cost(duration_seconds=1.0, images_seen=1, optimiser_steps=1, peak_memory_bytes=1),
    )


def random_cases() -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Skewed labels and half-right predictions; with 100 classes many are absent from labels, predictions or both."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        class_count = int(rng.choice([2, 3, 10, 100]))
        image_count = int(rng.choice([1, 2, 7, 60, 400]))
        share_K = rng.dirichlet(np.full(class_count, 0.5))
        labels_N = rng.choice(class_count, image_count, p=share_K)
        guesses_N = rng.choice(class_count, image_count, p=share_K)
        yield np.where(rng.random(image_count) < 0.5, labels_N, guesses_N), labels_N, class_count


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.filterwarnings("ignore:The number of unique classes is greater than 50%")
def test_accuracy_and_balanced_accuracy_agree_with_scikit_learn():
    for predicted_N, labels_N, class_count in random_cases():
        evaluation = evaluation_of(predicted_N, labels_N, class_count)
        assert score("accuracy", evaluation) == pytest.approx(reference.accuracy_score(labels_N, predicted_N))
        assert score("balanced_accuracy", evaluation) == pytest.approx(
            reference.balanced_accuracy_score(labels_N, predicted_N)
        )


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", "none"])
@pytest.mark.parametrize("name", ["f1", "recall"])
def test_f1_and_recall_leave_undefined_classes_out_as_scikit_learn_does_with_zero_division_nan(name, average):
    expected_score = getattr(reference, f"{name}_score")
    for predicted_N, labels_N, class_count in random_cases():
        expected = expected_score(
            labels_N,
            predicted_N,
            labels=range(class_count),
            average=None if average == "none" else average,
            zero_division=np.nan,
        )
        actual = score(name, evaluation_of(predicted_N, labels_N, class_count), average=average)
        np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.parametrize("average", ["macro", "weighted", "micro"])
def test_averaged_precision_agrees_with_scikit_learn_over_the_classes_that_occur(average):
    for predicted_N, labels_N, class_count in random_cases():
        # By default scikit-learn averages over the classes found in labels or predictions.
        expected = reference.precision_score(labels_N, predicted_N, average=average, zero_division=0)
        actual = score("precision", evaluation_of(predicted_N, labels_N, class_count), average=average)
        assert actual == pytest.approx(expected, rel=1e-12)


def test_precision_of_each_class_agrees_with_scikit_learn_with_zero_division_nan():
    for predicted_N, labels_N, class_count in random_cases():
        expected = reference.precision_score(
            labels_N, predicted_N, labels=range(class_count), average=None, zero_division=np.nan
        )
        actual = score("precision", evaluation_of(predicted_N, labels_N, class_count), average="none")
        np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["f1", "precision"])
@pytest.mark.parametrize("average", ["macro", "weighted", "micro"])
def test_averaged_f1_and_precision_agree_with_torchmetrics(name, average):
    import torch
    from torchmetrics.functional.classification import multiclass_f1_score, multiclass_precision

    expected_score = {"f1": multiclass_f1_score, "precision": multiclass_precision}[name]
    for predicted_N, labels_N, class_count in random_cases():
        expected = expected_score(torch.tensor(predicted_N), torch.tensor(labels_N), class_count, average=average)
        actual = score(name, evaluation_of(predicted_N, labels_N, class_count), average=average)
        assert actual == pytest.approx(float(expected), abs=1e-6)


def test_a_class_never_predicted_has_no_precision_but_lowers_the_macro_average():
    evaluation = evaluation_of([0, 0, 0, 0], [0, 0, 0, 1], class_count=3)
    np.testing.assert_array_equal(score("precision", evaluation, average="none"), [0.75, np.nan, np.nan])
    assert score("precision", evaluation) == 0.75 / 2


def test_a_class_predicted_but_absent_from_the_labels_is_left_out_of_macro_recall():
    evaluation = evaluation_of([0, 2, 1], [0, 0, 1], class_count=4)
    np.testing.assert_array_equal(score("recall", evaluation, average="none"), [0.5, 1.0, np.nan, np.nan])
    assert score("recall", evaluation) == score("balanced_accuracy", evaluation) == 0.75
    # Its F1 is defined, and 0: two thirds, 1 and 0.
    assert score("f1", evaluation) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_averages_of_a_single_test_image_predicted_wrong_are_zero_not_undefined():
    evaluation = evaluation_of([2], [0], class_count=10)
    for name in ("accuracy", "balanced_accuracy", "f1", "precision", "recall", "geometric_mean"):
        assert score(name, evaluation) == 0.0, name


@pytest.mark.parametrize("normalise", ["none", "true"])
def test_confusion_matrix_agrees_with_scikit_learn(normalise):
    for predicted_N, labels_N, class_count in random_cases():
        present_K = np.isin(np.arange(class_count), labels_N)
        # scikit-learn gives rows of 0 to classes without test images.
        expected_KK = reference.confusion_matrix(
            labels_N, predicted_N, labels=range(class_count), normalize=None if normalise == "none" else "true"
        )
        actual_KK = score("confusion_matrix", evaluation_of(predicted_N, labels_N, class_count), normalise=normalise)
        assert actual_KK.shape == (class_count, class_count)
        np.testing.assert_allclose(actual_KK[present_K], expected_KK[present_K])
        empty_value = 0 if normalise == "none" else np.nan
        np.testing.assert_array_equal(actual_KK[~present_K], np.full((sum(~present_K), class_count), empty_value))


def test_confusion_matrix_counts_true_classes_along_rows():
    matrix_KK = score("confusion_matrix", evaluation_of([1, 1, 1], [0, 0, 1], class_count=2))
    np.testing.assert_array_equal(matrix_KK, [[0, 2], [0, 1]])
    assert matrix_KK.dtype == np.int64


@pytest.mark.filterwarnings("ignore:The number of unique classes is greater than 50%")
def test_geometric_mean_agrees_with_imbalanced_learn():
    imblearn_metrics = pytest.importorskip("imblearn.metrics", reason="imbalanced-learn is not installed")
    for predicted_N, labels_N, class_count in random_cases():
        # `labels` because imbalanced-learn takes a class that is only predicted for one with recall 0.
        expected = imblearn_metrics.geometric_mean_score(labels_N, predicted_N, labels=np.unique(labels_N))
        actual = score("geometric_mean", evaluation_of(predicted_N, labels_N, class_count))
        assert actual == pytest.approx(expected, rel=1e-9)


def test_geometric_mean_is_zero_where_one_class_is_missed():
    assert score("geometric_mean", evaluation_of([0, 1, 1], [0, 1, 2], class_count=3)) == 0.0


def test_geometric_mean_of_recalls_one_quarter_and_one_is_one_half():
    assert score("geometric_mean", evaluation_of([0, 1, 1, 1, 1], [0, 0, 0, 0, 1], class_count=2)) == 0.5


def test_geometric_mean_of_many_small_recalls_does_not_underflow():
    # 300 classes with recall 1/20 each: their product, 1e-390, is below the smallest float64.
    labels_N = np.repeat(np.arange(300), 20)
    predicted_N = np.where(np.arange(6000) % 20 == 0, labels_N, (labels_N + 1) % 300)
    assert score("geometric_mean", evaluation_of(predicted_N, labels_N, 300)) == pytest.approx(1 / 20)


def test_class_accuracy_reports_every_class_or_the_one_named_or_numbered():
    evaluation = evaluation_of([0, 1, 1, 1], [0, 0, 1, 1], class_count=3)
    np.testing.assert_array_equal(score("class_accuracy", evaluation), [0.5, 1.0, np.nan])
    assert score("class_accuracy", evaluation, class_name="class a0") == 0.5
    assert score("class_accuracy", evaluation, class_name=1) == 1.0
    assert score("class_accuracy", evaluation, class_name=2) == Undefined("class 'class c2' has no test images")


def test_class_accuracy_of_an_unknown_class_names_the_nearest_one():
    evaluation = evaluation_of([0], [0], class_count=3)
    with pytest.raises(DataError, match=r"no class 'class a' \(did you mean 'class a0'\?\)"):
        score("class_accuracy", evaluation, class_name="class a")
    with pytest.raises(DataError, match=r"no class 3 \(its ids are 0\.\.2\)"):
        score("class_accuracy", evaluation, class_name=3)


SHOT_COUNTS = [101, 100, 20, 19, 0]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("many", 1.0),  # 101
        ("medium", (0.5 + 0.0) / 2),  # 100 and 20
        ("few", (0.25 + 1.0) / 2),  # 19 and 0
    ],
)
def test_shot_groups_put_100_and_20_into_medium_101_into_many_19_into_few(group, expected):
    labels_N = [0, 1, 1, 2, 3, 3, 3, 3, 4]
    predicted_N = [0, 1, 0, 0, 3, 0, 0, 0, 4]
    evaluation = evaluation_of(predicted_N, labels_N, 5, SHOT_COUNTS)
    assert score("shot_accuracy", evaluation, group=group) == expected


def test_shot_accuracy_averages_classes_not_images():
    evaluation = evaluation_of([0] * 9 + [0], [0] * 9 + [1], 2, [5, 5])
    assert score("shot_accuracy", evaluation, group="few") == 0.5


def test_shot_thresholds_are_options():
    evaluation = evaluation_of([0, 0], [0, 1], 2, [10, 9])
    assert score("shot_accuracy", evaluation, group="many", many_above=9, few_below=10) == 1.0
    assert score("shot_accuracy", evaluation, group="few", many_above=9, few_below=10) == 0.0


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ("many", "no class has more than 100 training images"),
        ("medium", "no class has 20 to 100 training images"),
        ("few", "no class with fewer than 20 training images has test images"),
    ],
)
def test_an_empty_shot_group_is_undefined_with_its_reason(group, reason):
    counts_K = [5, 5, 200] if group != "many" else [5, 5, 50]
    assert score("shot_accuracy", evaluation_of([2], [2], 3, counts_K), group=group) == Undefined(reason)


def test_a_standard_long_tail_of_cifar_100_has_35_many_35_medium_and_30_few_classes():
    counts_K = [int(500 * 0.01 ** (class_id / 99)) for class_id in range(100)]
    # Class ids 35 and 70 are where the published groups (35, 35, 30 classes) begin.
    for group, members in {"many": range(35), "medium": range(35, 70), "few": range(70, 100)}.items():
        predicted_N = [class_id if class_id in members else (class_id + 1) % 100 for class_id in range(100)]
        evaluation = evaluation_of(predicted_N, range(100), 100, counts_K)
        assert score("shot_accuracy", evaluation, group=group) == 1.0
        assert score("accuracy", evaluation) == len(members) / 100
