"""The core's own plugin: it declares through the same hooks as any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench.advice import Advisor
from balancebench.builtin.balancers.components import BALANCERS
from balancebench.builtin.classifiers.components import CLASSIFIERS
from balancebench.builtin.datasets.components import DATASETS
from balancebench.builtin.imbalancers.components import IMBALANCERS
from balancebench.builtin.metrics.components import METRICS
from balancebench.component import BalancerComponent, Component, MetricComponent
from balancebench.contracts import Classifier, Dataset, Imbalancer
from balancebench.hookspecs import hookimpl

ADVISORS: Sequence[Advisor] = (
    Advisor(name="class_counts", build="balancebench.builtin.class_size_advisor:advise_on_class_counts"),
    Advisor(name="near_duplicates", build="balancebench.builtin.class_size_advisor:advise_on_near_duplicates"),
)


@hookimpl
def balancebench_datasets() -> Sequence[Component[Any, Dataset]]:
    """Digits, torchvision's small sets, image folders, the Hugging Face hub."""
    return DATASETS


@hookimpl
def balancebench_imbalancers() -> Sequence[Component[Any, Imbalancer]]:
    """None, long tail, step, geometric, dropped class, explicit counts."""
    return IMBALANCERS


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """None: the imbalanced baseline."""
    return BALANCERS


@hookimpl
def balancebench_classifiers() -> Sequence[Component[Any, Classifier]]:
    """Small CNN, CIFAR ResNets, torchvision's and timm's models."""
    return CLASSIFIERS


@hookimpl
def balancebench_metrics() -> Sequence[MetricComponent[Any]]:
    """Accuracy and its relatives, calibration, confusion matrix, cost; class sizes and near-duplicates of a subset."""
    return METRICS


@hookimpl
def balancebench_advisors() -> Sequence[Advisor]:
    """Class sizes; near-duplicates between training and test images."""
    return ADVISORS
