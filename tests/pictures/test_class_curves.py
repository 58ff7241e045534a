"""Curves of each class: hand-computed, areas of scikit-learn, and drawn only where a suite asks for them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from balancebench.pictures.class_curves import POINTS_P, _chart, _points, class_curves, curves_orders
from balancebench.pictures.svg import svg_of


def test_a_class_that_is_told_apart_has_all_of_both_areas():
    labels_N = np.array([0, 0, 1, 1, 1])
    curve = class_curves([np.array([0.1, 0.2, 0.7, 0.8, 0.9])], labels_N, 1)
    assert (curve.roc_area, curve.average_precision) == (1.0, 1.0)
    assert (curve.recall_P[1:] == 1).all()
    assert (curve.precision_P == 1).all()


def test_a_reversed_order_has_none_of_the_roc_area():
    curve = class_curves([np.array([0.9, 0.8, 0.2, 0.1])], np.array([0, 0, 1, 1]), 1)
    assert curve.roc_area == 0.0
    assert (curve.recall_P[:-1] == 0).all()


def test_areas_are_means_over_seeds_of_scikit_learns():
    rng = np.random.default_rng(0)
    labels_N = rng.integers(0, 3, 80)
    seeds = [rng.random(80) + (labels_N == 2) * 0.4 for _ in range(3)]
    curve = class_curves(seeds, labels_N, 2)
    assert curve.roc_area == pytest.approx(np.mean([roc_auc_score(labels_N == 2, scores) for scores in seeds]))
    expected = np.mean([average_precision_score(labels_N == 2, scores) for scores in seeds])
    assert curve.average_precision == pytest.approx(expected)
    # The drawn curve is the one that has the area, up to its 51 points.
    assert np.trapezoid(curve.recall_P, POINTS_P) == pytest.approx(curve.roc_area, abs=0.02)


@pytest.mark.usefixtures("drawing")
def test_the_picture_names_each_class_with_its_area():
    labels_N = np.array([0, 0, 1, 1, 1])
    curve = class_curves([np.array([0.1, 0.8, 0.7, 0.75, 0.9])], labels_N, 1)
    panels = {
        f"floor: {kind}": _points([curve], ["cat", "dog"], name)
        for kind, name in (("ROC", "roc"), ("precision-recall", "precision_recall"))
    }
    svg = svg_of(_chart(panels, ["cat", "dog"], "a task"), "curves").decode()
    assert "dog 0.667" in svg  # of 2 x 3 pairs 4 are in order
    assert "others taken for it" in svg


def test_suites_without_such_metrics_get_no_curves(finished):
    assert curves_orders(finished.scene) == []
