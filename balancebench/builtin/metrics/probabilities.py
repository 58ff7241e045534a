"""Metrics of the predicted probabilities, the softmax of the logits in float64.

In arrays of one value a class, NaN stands for a class whose value is undefined.
Axis suffixes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from balancebench.builtin.metrics.logits import PredictionMetric
from balancebench.builtin.metrics.options import CalibrationOptions, LossOptions, RankingOptions
from balancebench.classification import mean_cross_entropy, mean_over_classes, predicted_classes
from balancebench.data import class_counts
from balancebench.evaluation import Evaluation, MetricValue, Undefined

__all__ = ["AveragePrecision", "ExpectedCalibrationError", "Loss", "RocAuc"]


def _logits_from(evaluation: Evaluation) -> torch.Tensor:
    """Return a float64 copy of the logits (N, K): in float32 confident probabilities tie at 1 and at 0."""
    return torch.tensor(evaluation.logits_NK, dtype=torch.float64)


class Loss(PredictionMetric[LossOptions]):
    """The mean cross-entropy."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the mean cross-entropy over the test images in nats, computed in float64.

        Of logits it starts at 0. Of probabilities, the softmax p of the logits is taken for logits, and softmaxed
        again: log(sum_k exp(p_k)) - p_label, which lies between log(e + K - 1) - 1 and log(e + K - 1) for one-hot p:
        1.461 and 2.461 for ten classes. That is no proper score (with labels 60 : 40 the best p is 0.70, 0.30); it is
        what Mankikar, Patel and Zhang report, whose network ends in a softmax before its cross-entropy.
        """
        if self.options.of == "logits":
            return mean_cross_entropy(evaluation.logits_NK, evaluation.labels_N)
        return mean_cross_entropy(_logits_from(evaluation).softmax(dim=1).numpy(), evaluation.labels_N)


class ExpectedCalibrationError(PredictionMetric[CalibrationOptions]):
    """The mean gap between confidence and accuracy."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the mean gap, 0..1, over bins of confidence of equal width, weighted by their images.

        The confidence is the probability of the predicted class. A bin holds its lower edge, the last one also 1.
        Equation 3 of Guo et al. 2017, after Naeini et al. 2015.
        """
        from torchmetrics.functional.classification.calibration_error import binary_calibration_error

        predictions_N = torch.from_numpy(predicted_classes(evaluation.logits_NK))
        confidence_N = _logits_from(evaluation).softmax(dim=1).gather(1, predictions_N[:, None])[:, 0]
        # The multi-class form rounds to float32, and both forms put a confidence of exactly 1 into a bin of its own
        # beyond the last. Hence the binary form, on confidences a hair below 1.
        below_one = float(np.nextafter(1.0, 0.0))
        correct_N = (predictions_N == torch.tensor(evaluation.labels_N)).long()
        error = binary_calibration_error(
            confidence_N.clamp(max=below_one), correct_N, n_bins=self.options.bins, norm="l1", validate_args=False
        )
        return float(error)


class RocAuc(PredictionMetric[RankingOptions]):
    """The area under the ROC curve."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the area under the ROC curve of each class against all others, 0..1: float64 (K,) or their mean.

        A class without test images has none and is left out of the mean. Undefined where all test images are of one
        class.
        """
        from torchmetrics.functional.classification.auroc import binary_auroc

        average = self.options.average
        support_K = class_counts(evaluation.labels_N, len(evaluation.class_names))
        if np.count_nonzero(support_K) == 1:
            return Undefined("the test images are all of one class")
        auc_K = _one_against_rest(evaluation, binary_auroc, support_K)
        return auc_K if average == "none" else mean_over_classes(auc_K, support_K, average)


class AveragePrecision(PredictionMetric[RankingOptions]):
    """The average precision."""

    def score(self, evaluation: Evaluation) -> MetricValue:
        """Return the average precision of each class against all others, 0..1: float64 (K,) or their mean.

        The sum of precision times gain in recall over all thresholds, without interpolation. A class without test
        images has none and is left out of the mean.
        """
        from torchmetrics.functional.classification.average_precision import binary_average_precision

        average = self.options.average
        support_K = class_counts(evaluation.labels_N, len(evaluation.class_names))
        precision_K = _one_against_rest(evaluation, binary_average_precision, support_K)
        return precision_K if average == "none" else mean_over_classes(precision_K, support_K, average)


def _one_against_rest(
    evaluation: Evaluation, score: Callable[..., torch.Tensor], support_K: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the binary score of each class against all others, NaN for a class without test images.

    torchmetrics' multi-class forms give such a class an AUC of 0, and warn of it each time.
    """
    probabilities_NK = _logits_from(evaluation).softmax(dim=1)
    labels_N = torch.tensor(evaluation.labels_N)
    values_K = np.full(len(support_K), np.nan)
    for class_id in np.flatnonzero(support_K).tolist():
        is_class_N = (labels_N == class_id).long()
        values_K[class_id] = float(score(probabilities_NK[:, class_id], is_class_N, validate_args=False))
    return values_K
