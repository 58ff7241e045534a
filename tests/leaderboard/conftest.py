"""Hand-made results: a suite of one task, floor, two balancers and ceiling, whose statistics can be done on paper."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from balancebench.artefacts.scores import Outcome, ReportScores, Score
from balancebench.evaluation import Cost, MeanOver
from balancebench.leaderboard.outcomes import DatasetOutcomes
from balancebench.leaderboard.results import CellResult, MetricHeader, SubsetSummary, SuiteHeader
from balancebench.plan import Task
from balancebench.suite.bound import SeedTriple

TASK = Task(dataset="digits", imbalancer="long_tail", classifier="small_cnn")
CLASS_NAMES = ("zero", "one", "bag")
PROVENANCE = {
    "device": "cpu",
    "python": "3.11.7",
    "platform": "Linux x86_64",
    "processor": "A processor",
    "versions": {"torch": "2.9.0", "numpy": "2.1.0"},
    "plugins": {"balancebench": "0.1.0"},
    "git_commit": "0123456789abcdef0123456789abcdef01234567",
}


def a_key(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def a_subset(seed=0, counts_K=(100, 50, 10), class_names=CLASS_NAMES, salt=""):
    fingerprint = a_key("subset", seed, counts_K, class_names, salt)
    return SubsetSummary(fingerprint=fingerprint, class_names=class_names, counts_K=counts_K, test_images=200)


def a_cell(balancer, seed=0, scores=0.5, *, role="entry", task=TASK, metric="accuracy", reports=None, **changes):
    """A finished cell; `scores` is the value of `metric`, or {metric: value or reason}."""
    seeds = SeedTriple(seed, seed, seed) if isinstance(seed, int) else SeedTriple(*seed)
    per_report = reports or {"last": scores}
    name = (str(task), balancer, role, seeds)
    fields = {
        "task": task,
        "balancer": balancer,
        "seeds": seeds,
        "role": role,
        "status": "done",
        "steps": {stage: a_key(stage, name) for stage in ("load", "imbalance", "train", "score")},
        "identities": {
            "train": {"components": {"classifier": {"options": {"epochs": 15}}}, "settings": {"seed": seeds.classifier}}
        },
        "subset": a_subset(
            "all" if role == "ceiling" else seeds.subset, (100, 100, 100) if role == "ceiling" else (100, 50, 10)
        ),
        "scores": {
            report: ReportScores(
                epoch=9,
                metrics={
                    label: Score(value=None, reason=value) if isinstance(value, str) else Score(value=value)
                    for label, value in (values if isinstance(values, dict) else {metric: values}).items()
                },
            )
            for report, values in per_report.items()
        },
        "cost": Cost(duration_seconds=12.0, images_seen=1600, optimiser_steps=100, peak_memory_bytes=300 * 2**20),
        "provenance": PROVENANCE,
    }
    if changes.get("status", "done") != "done":
        fields |= {"scores": {}, "cost": None}
    return CellResult(**{**fields, **changes})


def a_row(balancer, values, **changes):
    """One cell for each seed 0, 1, 2, ..."""
    return [a_cell(balancer, seed, value, **changes) for seed, value in enumerate(values)]


def a_suite(metrics=(("accuracy", "%", True),), **changes):
    fields = {
        "name": "hand_made",
        "title": "Hand-made results",
        "file": "suites/hand_made.toml",
        "metrics": tuple(
            MetricHeader(label=label, unit=unit, higher_is_better=better) for label, unit, better in metrics
        ),
        "reports": ("last",),
        "axes": {
            "dataset": ("digits",),
            "imbalancer": ("long_tail",),
            "balancer": ("smote", "random_oversampling"),
            "classifier": ("small_cnn",),
        },
    }
    return SuiteHeader(**{**fields, **changes})


def a_measured_suite(right, labels_N, *, roles=None, seeds=None, task=TASK, train_K=(100, 50, 10)):
    """Suite, cells and outcomes of rows by name -> which test images are right, bool (S, N); scored by what is right.

    Their metrics are balanced accuracy, accuracy, few-shot accuracy and a loss that is 1 - accuracy.
    """
    means = {
        "balanced accuracy": MeanOver(each="class"),
        "accuracy": MeanOver(each="image"),
        "few-shot accuracy": MeanOver(each="class", most_train=19),
    }
    metrics = [MetricHeader(label=label, unit="%", mean_over=mean_over) for label, mean_over in means.items()]
    metrics.append(MetricHeader(label="loss", higher_is_better=False))
    class_count, load_key = len(train_K), a_key("load", str(task.dataset))
    present = [label for label in range(class_count) if (labels_N == label).any()]
    cells, of_cells = [], {}
    for name, right_SN in right.items():
        role = (roles or {}).get(name, "floor" if name == "none" else "entry")
        for index, right_N in enumerate(np.asarray(right_SN, dtype=bool)):
            recalls = {label: float(right_N[labels_N == label].mean()) for label in present}
            few = [recalls[label] for label in present if train_K[label] < 20]
            scores = {
                "balanced accuracy": math.fsum(recalls.values()) / len(recalls),
                "accuracy": float(right_N.mean()),
                "few-shot accuracy": math.fsum(few) / len(few) if few else "no such class",
                "loss": 1 - float(right_N.mean()),
            }
            cell = a_cell(name, (seeds or [0, 1, 2, 3, 4, 5, 6])[index], scores, role=role, task=task)
            subset = a_subset(cell.seeds.subset, tuple(train_K), tuple(f"c{label}" for label in range(class_count)))
            cell = replace(cell, steps={**cell.steps, "load": load_key}, subset=subset)
            cells.append(cell)
            predicted_N = np.where(right_N, labels_N, (labels_N + 1) % class_count)
            of_cells[cell.score_key] = {"last": Outcome.of(labels_N, predicted_N, class_count)}
    outcomes = {load_key: DatasetOutcomes(labels_N=labels_N, class_count=class_count, cells=of_cells)}
    return SimpleNamespace(
        suite=a_suite().model_copy(update={"metrics": tuple(metrics)}), cells=cells, outcomes=outcomes
    )


@pytest.fixture(scope="session")
def make():
    """Functions that make suites, subsets, cells and rows by hand."""
    return SimpleNamespace(
        cell=a_cell, tested=a_measured_suite, row=a_row, subset=a_subset, suite=a_suite, key=a_key, task=TASK
    )


@pytest.fixture
def small(make):
    """Suite and cells: floor 0.60, 0.62, 0.64; smote 0.70, 0.73, 0.70; oversampling 0.66, 0.66, 0.66; ceiling 0.90."""
    cells = [
        *a_row("none", [0.60, 0.62, 0.64], role="floor"),
        *a_row("smote", [0.70, 0.73, 0.70]),
        *a_row("random_oversampling", [0.66, 0.66, 0.66]),
        *a_row("no imbalance", [0.90, 0.90, 0.90], role="ceiling"),
    ]
    return SimpleNamespace(suite=a_suite(), cells=cells)


@pytest.fixture(scope="session")
def worked_scores():
    """Balanced accuracies of small_cnn on Fashion-MNIST-LT under seeds 0, 1, 2: task -> row -> values."""
    return json.loads((Path(__file__).parent / "worked_scores.json").read_text(encoding="utf-8"))
