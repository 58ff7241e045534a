"""Calls metrics, and says which one failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from balancebench.artefacts.scores import Score, score_of
from balancebench.errors import BalancebenchError
from balancebench.stages.workplace import Workplace

__all__ = ["built_metrics", "scored"]


def built_metrics(workplace: Workplace) -> Mapping[str, Any]:
    """Return the metrics of the step by label."""
    return {
        label: workplace.build_from("metric", reference).object for label, reference in workplace.step.metrics.items()
    }


def scored(label: str, metric: Any, evaluation: object, class_count: int) -> Score:
    """Return the value of a metric of `class_count` classes; what it raises names it."""
    try:
        return score_of(metric(evaluation), class_count)
    except BalancebenchError as error:
        raise type(error)(f"metric {label}: {error}") from error
    except Exception as error:
        raise BalancebenchError(f"metric {label}: {type(error).__name__}: {error}") from error
