"""What every metric of predictions needs: logits fit to be scored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np

from balancebench.config import Options
from balancebench.evaluation import Evaluation, MetricValue, Undefined

__all__ = ["PredictionMetric"]

OptionsT = TypeVar("OptionsT", bound=Options)


class PredictionMetric(ABC, Generic[OptionsT]):
    """A metric of the predictions: Undefined without test images and where any logit is NaN or infinite."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    def __call__(self, evaluation: Evaluation) -> MetricValue:
        """Return the value, or Undefined with the reason."""
        if len(evaluation.labels_N) == 0:
            return Undefined("there are no test images")
        if not np.isfinite(evaluation.logits_NK).all():
            return Undefined("the classifier's logits are not finite")
        return self.score(evaluation)

    @abstractmethod
    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the value, of at least one test image and finite logits."""
