"""balancebench: methods for imbalanced image data, compared on one footing.

A plugin imports what it needs from here:

    from balancebench import BalancerComponent, Options, Phase, TrainingPlan, hookimpl

Names that need NumPy are loaded on first use, so that listing and planning stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from balancebench.component import (
    Balancer,
    BalancerComponent,
    Classifier,
    Component,
    Dataset,
    DatasetComponent,
    Evaluation,
    EvaluationImages,
    FeaturePredictor,
    FitContext,
    Imbalancer,
    LoadContext,
    Metric,
    MetricComponent,
    PartlyUndefined,
    PlanContext,
    Predictor,
    RestorableClassifier,
    SynthesisContext,
    Undefined,
)
from balancebench.config import BalancerReference, Options
from balancebench.errors import (
    BalancebenchError,
    BalancerError,
    ClassifierError,
    DataError,
    LeaderboardError,
    PluginError,
    StoreError,
    SuiteError,
    nearest,
)
from balancebench.hookspecs import hookimpl

if TYPE_CHECKING:
    from balancebench.data import DatasetSplits, LabelledImages, Origin, class_counts, concatenate
    from balancebench.training.plan import Batch, BatchSource, Phase, Restart, TrainingPlan

_LATE = {
    "DatasetSplits": "balancebench.data",
    "LabelledImages": "balancebench.data",
    "Origin": "balancebench.data",
    "class_counts": "balancebench.data",
    "concatenate": "balancebench.data",
    "Batch": "balancebench.training.plan",
    "BatchSource": "balancebench.training.plan",
    "Phase": "balancebench.training.plan",
    "Restart": "balancebench.training.plan",
    "TrainingPlan": "balancebench.training.plan",
}

__version__ = "0.1.0"

__all__ = [
    "BalancebenchError",
    "Balancer",
    "BalancerComponent",
    "BalancerError",
    "BalancerReference",
    "Batch",
    "BatchSource",
    "Classifier",
    "ClassifierError",
    "Component",
    "DataError",
    "Dataset",
    "DatasetComponent",
    "DatasetSplits",
    "Evaluation",
    "EvaluationImages",
    "FeaturePredictor",
    "FitContext",
    "Imbalancer",
    "LabelledImages",
    "LeaderboardError",
    "LoadContext",
    "Metric",
    "MetricComponent",
    "Options",
    "Origin",
    "PartlyUndefined",
    "Phase",
    "PlanContext",
    "PluginError",
    "Predictor",
    "Restart",
    "RestorableClassifier",
    "StoreError",
    "SuiteError",
    "SynthesisContext",
    "TrainingPlan",
    "Undefined",
    "class_counts",
    "concatenate",
    "hookimpl",
    "nearest",
]


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'balancebench' has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
