"""Metrics of the training subset are computed once for each, and stand with the task."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from balancebench.artefacts.scores import read_measures, read_outcomes, read_scores
from balancebench.artefacts.splits import read_test_labels
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.step import metric_key

SUBSET_METRICS = {'metrics = ["hits"]': 'metrics = ["hits", "kept_share", "class_counts", "imbalance_ratio"]'}


def run(harness, plan):
    """Run in this process: starting workers is tested elsewhere, and takes seconds."""
    return harness.run(plan, jobs=0)


@pytest.fixture
def finished(harness):
    plan = harness.plan('\n[[classifier]]\nuse = "means"\nlabel = "other"\nepochs = 3\n', replace=SUBSET_METRICS)
    assert not run(harness, plan).failed
    return plan


def test_a_subset_is_measured_once_whatever_trains_on_it(finished):
    counted = Counter(step.stage for step in finished.steps.values())
    assert (counted["measure"], counted["imbalance"]) == (
        2,
        3,
    )  # the ceiling's whole training set is measured by nobody


def keys_of(plan):
    return {metric.label: metric_key(metric.reference) for metric in plan.suite.metrics}


def test_its_values_stand_with_the_task_and_not_in_the_rows(harness, finished):
    board = build_leaderboard(finished.suite, collect(finished, harness.store))
    for table in board.tables:
        assert [metric.label for metric in table.subset_metrics] == ["kept_share", "imbalance_ratio"]
        assert table.measures["imbalance_ratio"].mean > 1
        assert all(set(row.metrics) == {"hits"} for row in table.rows)


def test_values_for_each_class_are_kept_in_the_store(harness, finished):
    key = next(key for key, step in finished.steps.items() if step.stage == "measure")
    assert sum(read_measures(harness.store, key, keys_of(finished))["class_counts"].value) == 63


def test_a_new_subset_metric_trains_nothing(harness):
    run(harness, harness.plan())
    outcome = run(harness, harness.plan(replace=SUBSET_METRICS))
    assert (outcome.ran, outcome.failed) == (2, [])


def test_every_report_keeps_which_test_images_were_right_and_the_confusion(harness, finished):
    for cell in finished.cells:
        inputs = finished.steps[cell.steps["score"]].inputs
        labels_N = read_test_labels(harness.store, inputs.dataset)
        outcome = read_outcomes(harness.store, cell.steps["score"])["last"]
        confusion_KK = outcome.confusion_KK(3)
        hits = read_scores(harness.store, cell.steps["score"], keys_of(finished))["last"].metrics["hits"].value
        assert outcome.correct_N(len(labels_N)).mean() == pytest.approx(hits)
        assert confusion_KK.sum() == len(labels_N)
        assert confusion_KK.trace() == outcome.correct_N(len(labels_N)).sum()


def test_outcomes_do_not_stand_among_the_scores(harness, finished):
    folder = harness.store.folder(finished.cells[0].steps["score"])
    assert "confusion" not in json.loads((folder / "scores.json").read_text())["last"]["metrics"]
