"""What every metric of predictions needs: logits fit to be scored, the predicted classes, and means over classes.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from balancebench.component import Evaluation, MetricValue, Undefined

__all__ = ["mean_over_classes", "predictions_from", "scores_logits"]

ScoreT = TypeVar("ScoreT", bound=Callable[..., MetricValue])


def scores_logits(score: ScoreT) -> ScoreT:
    """Decorate a metric so that it is Undefined without test images and where any logit is NaN or infinite."""

    @wraps(score)
    def guarded(evaluation: Evaluation, **options: Any) -> MetricValue:
        if len(evaluation.labels_N) == 0:
            return Undefined("there are no test images")
        if not np.isfinite(evaluation.logits_NK).all():
            return Undefined("the classifier's logits are not finite")
        return score(evaluation, **options)

    return cast("ScoreT", guarded)


def predictions_from(evaluation: Evaluation) -> NDArray[np.int64]:
    """Return the class of the largest logit of each image, int64 (N,); among equal logits the lowest class id."""
    return evaluation.logits_NK.argmax(axis=1).astype(np.int64)


def mean_over_classes(
    values_K: NDArray[np.float64], support_K: NDArray[np.int64], average: Literal["macro", "weighted"]
) -> float:
    """Return the mean of the values that are not NaN, at least one.

    macro: every class counts the same. weighted: by its test images, `support_K`.
    """
    defined_K = ~np.isnan(values_K)
    weights = support_K[defined_K] if average == "weighted" else None
    return float(np.average(values_K[defined_K], weights=weights))
