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

from balancebench.advice import Advice, Advise, Advisor, Relation
from balancebench.cached import Cached
from balancebench.checkpoints import Checkpoints
from balancebench.component import BalancerComponent, Component, DatasetComponent, MetricComponent, Requirement
from balancebench.config import JSON, BalancerReference, Compilation, Options
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
    Progress,
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
    from balancebench.execution.executor import Limits
    from balancebench.execution.run_plan import Reporter
    from balancebench.large_images import ImageRows
    from balancebench.leaderboard.board import Leaderboard
    from balancebench.store.record import Failure, FileEntry, Record, Status
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
    "class_counts": "balancebench.data",
    "concatenate": "balancebench.data",
    "Limits": "balancebench.execution.executor",
    "Reporter": "balancebench.execution.run_plan",
    "ImageRows": "balancebench.large_images",
    "Leaderboard": "balancebench.leaderboard.board",
    "Failure": "balancebench.store.record",
    "FileEntry": "balancebench.store.record",
    "Record": "balancebench.store.record",
    "Status": "balancebench.store.record",
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

__all__ = [
    "JSON",
    "Advice",
    "Advise",
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
    "Cached",
    "Checkpoints",
    "Classifier",
    "ClassifierError",
    "Compilation",
    "Component",
    "Cost",
    "DataError",
    "Dataset",
    "DatasetComponent",
    "DatasetSplits",
    "Evaluation",
    "EvaluationImages",
    "Failure",
    "FeatureLoss",
    "FeaturePredictor",
    "FileEntry",
    "FitContext",
    "ImageGenerator",
    "ImageRows",
    "Imbalancer",
    "LabelledImages",
    "Leaderboard",
    "LeaderboardError",
    "Limits",
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
    "Progress",
    "Record",
    "Relation",
    "Reporter",
    "Requirement",
    "Restart",
    "RestorableClassifier",
    "Status",
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
    if name == "__version__":
        from importlib.metadata import version

        return version("balancebench")
    if name not in _LATE:
        raise AttributeError(f"module 'balancebench' has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
