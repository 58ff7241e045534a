"""Calls metrics, and says which one failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from balancebench.artefacts.scores import Score, score_of
from balancebench.data import LabelledImages
from balancebench.errors import BalancebenchError
from balancebench.evaluation import Evaluation, SubsetEvaluation
from balancebench.stages.input_files import handed_out
from balancebench.stages.workplace import Workplace

__all__ = ["built_metrics", "scored"]


def built_metrics(workplace: Workplace) -> Mapping[str, Any]:
    """Return the metrics of the step by label."""
    return {
        label: workplace.build_from("metric", reference).object for label, reference in workplace.step.metrics.items()
    }


def scored(label: str, metric: Any, evaluation: Evaluation | SubsetEvaluation, class_count: int) -> Score:
    """Return the value of a metric of `class_count` classes; what it raises names it, as does what it wrote to."""
    try:
        with handed_out("it", *_arrays(evaluation)):
            return score_of(metric(evaluation), class_count)
    except BalancebenchError as error:
        raise type(error)(f"metric {label}: {error}") from error
    except Exception as error:
        raise BalancebenchError(f"metric {label}: {type(error).__name__}: {error}") from error


def _arrays(evaluation: Evaluation | SubsetEvaluation) -> tuple[LabelledImages | NDArray[Any], ...]:
    if isinstance(evaluation, SubsetEvaluation):
        return (evaluation.train,)
    return evaluation.logits_NK, evaluation.labels_N, evaluation.train_counts_K
