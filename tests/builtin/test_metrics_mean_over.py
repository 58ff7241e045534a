"""Metrics that say they are a mean of which test images are predicted right are that mean."""

import numpy as np
import pytest

from balancebench.builtin.metrics.components import METRICS
from balancebench.evaluation import Cost, Evaluation
from balancebench.leaderboard.comparisons import recall_weights

COMPONENTS = {component.name: component for component in METRICS}
COST = Cost(duration_seconds=1.0, images_seen=1, optimiser_steps=1, peak_memory_bytes=1)
NAMES = ("zero", "one", "bag", "shoe")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("accuracy", {}),
        ("balanced_accuracy", {}),
        ("f1", {"average": "micro"}),
        ("precision", {"average": "micro"}),
        *(("recall", {"average": average}) for average in ("macro", "weighted", "micro")),
        ("class_accuracy", {"class_name": "bag"}),
        ("class_accuracy", {"class_name": 1}),
        *(("shot_accuracy", {"group": group}) for group in ("many", "medium", "few")),
        ("shot_accuracy", {"group": "medium", "many_above": 49, "few_below": 10}),
    ],
)
def test_a_metric_is_the_mean_that_it_declares(name, options):
    rng = np.random.default_rng(0)
    labels_N = np.repeat([0, 1, 2], [50, 30, 20])  # no test image of the last class
    train_K = np.array([500, 100, 20, 5]) if options.get("group") != "few" else np.array([500, 100, 19, 5])
    if "few_below" in options:
        train_K = np.array([50, 49, 10, 9])
    logits_NK = rng.normal(0, 1, (100, 4)).astype(np.float32)
    component = COMPONENTS[name]
    validated = component.options.model_validate(options)
    evaluation = Evaluation(
        logits_NK=logits_NK, labels_N=labels_N, class_names=NAMES, train_counts_K=train_K, cost=COST
    )
    value = component.create(validated)(evaluation)
    mean_over = component.mean_over(validated)
    weights_K = recall_weights(mean_over, np.bincount(labels_N, minlength=4), train_K.tolist(), NAMES)
    right_N = logits_NK.argmax(axis=1) == labels_N
    recalls_K = np.array([right_N[labels_N == label].mean() for label in range(3)] + [0.0])
    assert weights_K @ recalls_K == pytest.approx(value)


@pytest.mark.parametrize("name", ["f1", "precision", "geometric_mean", "roc_auc", "loss", "confusion_matrix"])
def test_a_metric_that_is_no_such_mean_declares_none(name):
    component = COMPONENTS[name]
    assert component.mean_over(component.options()) is None
