"""What holds for every built-in metric: declared lightly, guarded, and blind to the order of the classes."""

import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from balancebench import Evaluation, Undefined
from balancebench.builtin.metrics.components import METRICS
from balancebench.evaluation import Cost

COMPONENTS = {component.name: component for component in METRICS}
COST_METRICS = {"duration_seconds", "images_seen", "optimiser_steps", "peak_memory"}
SUBSET_METRICS = {"class_counts", "imbalance_ratio", "gini_coefficient", "near_duplicates"}

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in COMPONENTS if name not in COST_METRICS | SUBSET_METRICS),
    *((name, {"average": "none"}) for name in ("f1", "precision", "recall", "roc_auc", "average_precision")),
    *((name, {"average": "weighted"}) for name in ("f1", "precision", "recall", "roc_auc", "average_precision")),
    *((name, {"average": "micro"}) for name in ("f1", "precision", "recall")),
    ("class_accuracy", {"class_name": "heron"}),
    ("shot_accuracy", {"group": "many"}),
    ("shot_accuracy", {"group": "medium"}),
    ("confusion_matrix", {"normalise": "true"}),
    ("loss", {"of": "probabilities"}),
]

COST = Cost(duration_seconds=12.5, images_seen=3000, optimiser_steps=40, peak_memory_bytes=3 * 2**20)


def score(name: str, evaluation: Evaluation, **options: Any) -> Any:
    component = COMPONENTS[name]
    return component.create(component.options(**options))(evaluation)


@pytest.fixture
def evaluation() -> Evaluation:
    rng = np.random.default_rng(7)
    labels_N = rng.choice(6, 200, p=[0.4, 0.3, 0.15, 0.1, 0.05, 0])  # no test image of the last class
    logits_NK = (rng.normal(size=(200, 6)) + 1.5 * np.eye(6)[labels_N]).astype(np.float32)
    return Evaluation(
        logits_NK=logits_NK,
        labels_N=labels_N.astype(np.int64),
        class_names=("crane", "heron", "ibis", "stork", "egret", "bittern"),
        train_counts_K=np.array([500, 120, 60, 20, 12, 3]),
        cost=COST,
    )


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_renaming_classes_permutes_what_is_per_class_and_leaves_scalars_alone(evaluation, name, options):
    old_id_K = np.array([3, 5, 0, 1, 4, 2])  # the class that becomes class 0 was class 3, and so on
    renamed = replace(
        evaluation,
        logits_NK=evaluation.logits_NK[:, old_id_K],
        labels_N=np.argsort(old_id_K)[evaluation.labels_N],
        class_names=tuple(evaluation.class_names[old_id] for old_id in old_id_K),
        train_counts_K=evaluation.train_counts_K[old_id_K],
    )
    before, after = score(name, evaluation, **options), score(name, renamed, **options)
    if np.ndim(before) == 1:
        before = before[old_id_K]
    elif np.ndim(before) == 2:
        before = before[np.ix_(old_id_K, old_id_K)]
    np.testing.assert_allclose(after, before, atol=1e-9)


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_metrics_leave_read_only_inputs_alone_and_warn_of_nothing(evaluation, name, options):
    logits_NK, labels_N = evaluation.logits_NK.copy(), evaluation.labels_N.copy()
    for array in (evaluation.logits_NK, evaluation.labels_N, evaluation.train_counts_K):
        array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = score(name, evaluation, **options), score(name, evaluation, **options)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(evaluation.logits_NK, logits_NK)
    np.testing.assert_array_equal(evaluation.labels_N, labels_N)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_metrics_of_logits_that_are_not_finite_are_undefined(evaluation, name, options, value):
    logits_NK = evaluation.logits_NK.copy()
    logits_NK[17, 2] = value
    result = score(name, replace(evaluation, logits_NK=logits_NK), **options)
    assert result == Undefined("the classifier's logits are not finite")


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_metrics_without_test_images_are_undefined(evaluation, name, options):
    empty = replace(evaluation, logits_NK=evaluation.logits_NK[:0], labels_N=evaluation.labels_N[:0])
    assert score(name, empty, **options) == Undefined("there are no test images")


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
@pytest.mark.parametrize("scale", [0.0, 1e-40, 1e37], ids=["constant", "denormal", "huge"])
def test_metrics_of_constant_and_of_huge_logits_are_finite_and_silent(evaluation, name, options, scale):
    scaled = replace(evaluation, logits_NK=(evaluation.logits_NK.astype(np.float64) * scale).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = np.asarray(score(name, scaled, **options))
    if value.ndim == 0:
        assert np.isfinite(value)
    assert (value[~np.isnan(value)] >= 0).all()
    assert name in {"loss", "confusion_matrix"} or (value[~np.isnan(value)] <= 1).all()


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=str)
def test_only_classes_without_a_value_are_nan_and_only_in_arrays(evaluation, name, options):
    value = np.asarray(score(name, evaluation, **options))
    if value.ndim == 0:
        assert np.isfinite(value)
    else:
        assert not np.isnan(value[:5]).any()  # all but the last class, which has no test image


def test_among_equal_logits_the_lowest_class_id_is_predicted(evaluation):
    tied = replace(evaluation, logits_NK=np.float32([[1, 2, 2, 0, 2, 0]]), labels_N=np.array([4]))
    assert score("confusion_matrix", tied)[4].tolist() == [0, 1, 0, 0, 0, 0]
    # The probability of the predicted class is the confidence, and the prediction is wrong.
    confidence = np.exp(2) / (3 * np.exp(2) + np.exp(1) + 2)
    assert score("expected_calibration_error", tied) == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("duration_seconds", 12.5), ("images_seen", 3000), ("optimiser_steps", 40), ("peak_memory", 3)],
)
def test_cost_is_reported_even_where_the_logits_are_not_finite(evaluation, name, expected):
    diverged = replace(evaluation, logits_NK=np.full_like(evaluation.logits_NK, np.nan))
    assert score(name, diverged) == expected
    assert isinstance(score(name, diverged), float)


def test_units_and_directions():
    lower_is_better = {"expected_calibration_error", "loss", *COST_METRICS}
    plain_or_own_unit = {
        "loss": "",
        "confusion_matrix": "",
        "duration_seconds": "s",
        "images_seen": "images",
        "optimiser_steps": "steps",
        "peak_memory": "MiB",
        "class_counts": "images",
        "imbalance_ratio": "",
        "gini_coefficient": "",
    }
    ranks_nothing = {"confusion_matrix", *SUBSET_METRICS}
    for name, component in COMPONENTS.items():
        assert component.unit == plain_or_own_unit.get(name, "%"), name
        expected = None if name in ranks_nothing else name not in lower_is_better
        assert component.higher_is_better is expected, name


def test_metrics_of_the_training_subset_say_so():
    assert {name for name, component in COMPONENTS.items() if component.of == "subset"} == SUBSET_METRICS


def test_names_are_unique_and_every_option_is_described():
    assert len(COMPONENTS) == len(METRICS)
    for component in METRICS:
        assert component.summary
        for field in component.options.model_fields.values():
            assert field.description


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("f1", {"average": "samples"}),
        ("roc_auc", {"average": "micro"}),
        ("class_accuracy", {"class_name": -1}),
        ("class_accuracy", {"class_name": True}),
        ("shot_accuracy", {"group": "head"}),
        ("shot_accuracy", {"many_above": 20, "few_below": 22}),
        ("expected_calibration_error", {"bins": 0}),
        ("confusion_matrix", {"normalise": "all"}),
        ("loss", {"of": "softmax"}),
        ("accuracy", {"average": "macro"}),
        ("near_duplicates", {"distance": -1}),
        ("near_duplicates", {"distance": 65}),
    ],
)
def test_options_out_of_range_are_refused(name, options):
    with pytest.raises(ValidationError):
        COMPONENTS[name].options(**options)


def test_declaring_metrics_and_building_those_of_counts_imports_no_torch():
    program = """
import sys
from balancebench.builtin.metrics.components import METRICS
heavy = {"numpy", "torch", "torchmetrics", "sklearn", "scipy"}
print(sorted(heavy & set(sys.modules)))
counting = {"accuracy", "f1", "shot_accuracy", "confusion_matrix", "images_seen"}
for component in METRICS:
    if component.name in counting:
        component.create(component.options())
print(sorted((heavy - {"numpy"}) & set(sys.modules)))
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["[]", "[]"]
