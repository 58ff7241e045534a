"""balancebench: methods for imbalanced image data, compared on one footing.

A plugin imports what it needs from here:

    from balancebench import BalancerComponent, Options, Phase, TrainingPlan, hookimpl

and a script runs a suite:

    board = balancebench.run_suite("suites/quickstart.toml")

Names that need NumPy are loaded on first use, so that listing and planning stay quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from balancebench.advice import Advice, Advisor, Relation
from balancebench.checkpoints import Checkpoints
from balancebench.component import BalancerComponent, Component, DatasetComponent, MetricComponent
from balancebench.config import JSON, BalancerReference, Options
from balancebench.contracts import (
    Balancer,
    Base,
    Classifier,
    Dataset,
    FeaturePredictor,
    FitContext,
    ImageGenerator,
    Imbalancer,
    LoadContext,
    PlanContext,
    Predictor,
    RestorableClassifier,
    SynthesisContext,
)
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
from balancebench.evaluation import (
    Cost,
    Evaluation,
    EvaluationImages,
    MeanOver,
    Metric,
    MetricValue,
    PartlyUndefined,
    SubsetEvaluation,
    SubsetMetric,
    Undefined,
)
from balancebench.hookspecs import hookimpl
from balancebench.seeds import seed_for

if TYPE_CHECKING:
    from balancebench.data import DatasetSplits, LabelledImages, Origin, Parents, class_counts, concatenate
    from balancebench.store import Record
    from balancebench.suite_run import run_suite
    from balancebench.training_plan import (
        Batch,
        BatchSource,
        BatchTransform,
        FeatureLoss,
        Loss,
        LossContext,
        Phase,
        Restart,
        TrainingPlan,
    )

_LATE = {
    "DatasetSplits": "balancebench.data",
    "LabelledImages": "balancebench.data",
    "Origin": "balancebench.data",
    "Parents": "balancebench.data",
    "Record": "balancebench.store",
    "class_counts": "balancebench.data",
    "concatenate": "balancebench.data",
    "run_suite": "balancebench.suite_run",
    "Batch": "balancebench.training_plan",
    "BatchSource": "balancebench.training_plan",
    "BatchTransform": "balancebench.training_plan",
    "FeatureLoss": "balancebench.training_plan",
    "Loss": "balancebench.training_plan",
    "LossContext": "balancebench.training_plan",
    "Phase": "balancebench.training_plan",
    "Restart": "balancebench.training_plan",
    "TrainingPlan": "balancebench.training_plan",
}

__version__ = "0.2.0"

__all__ = [
    "JSON",
    "Advice",
    "Advisor",
    "BalancebenchError",
    "Balancer",
    "BalancerComponent",
    "BalancerError",
    "BalancerReference",
    "Base",
    "Batch",
    "BatchSource",
    "BatchTransform",
    "Checkpoints",
    "Classifier",
    "ClassifierError",
    "Component",
    "Cost",
    "DataError",
    "Dataset",
    "DatasetComponent",
    "DatasetSplits",
    "Evaluation",
    "EvaluationImages",
    "FeatureLoss",
    "FeaturePredictor",
    "FitContext",
    "ImageGenerator",
    "Imbalancer",
    "LabelledImages",
    "LeaderboardError",
    "LoadContext",
    "Loss",
    "LossContext",
    "MeanOver",
    "Metric",
    "MetricComponent",
    "MetricValue",
    "Options",
    "Origin",
    "Parents",
    "PartlyUndefined",
    "Phase",
    "PlanContext",
    "PluginError",
    "Predictor",
    "Record",
    "Relation",
    "Restart",
    "RestorableClassifier",
    "StoreError",
    "SubsetEvaluation",
    "SubsetMetric",
    "SuiteError",
    "SynthesisContext",
    "TrainingPlan",
    "Undefined",
    "class_counts",
    "concatenate",
    "hookimpl",
    "nearest",
    "run_suite",
    "seed_for",
]


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'balancebench' has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
