"""FLD: how likely the test images are under a density around the generated ones (Jiralerspong et al. 2023).

Each generated image is the centre of a normal distribution, of one deviation in all D dimensions; all N weigh the same.
The deviations are those that make the training images most likely. What then counts is the test images:

    nll = -mean over test images of log (1/N sum over j of N(test; g_j, s_j))
    FLD = 100 (nll - baseline) / D,    baseline: half of the training images as centres, the others to fit them

Copies fit training images too well: their deviations shrink, and test images fall between them. 0 is what training
images themselves reach, more is worse, and below 0 lies what is better than half of them.

Chosen here: features are standardised by the training images (the authors: by the test images, which lets these leak),
and the deviations are found by expectation and maximisation (the authors: gradient steps), which needs no rate.

Axis suffixes: N generated, M training and T test images, D features, K classes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balancebench import EvaluationImages, LabelledImages, MetricValue, Undefined, seed_for
from balancebench_quality.blocks import computing_device
from balancebench_quality.copies import seen_images
from balancebench_quality.features import features_of
from balancebench_quality.options import LikelihoodOptions
from balancebench_quality.selection import by_class, draw, even_counts
from balancebench_quality.synthetic_metric import NOT_FINITE, TOO_SMALL, SyntheticMetric

__all__ = ["Fld", "feature_likelihood", "fitted_variances", "mean_log_likelihood"]

FEWEST = 20  # images of each of the three sets
ROUNDS = 30  # of expectation and maximisation
LEAST_VARIANCE = 1e-6  # of standardised features: that of an exact copy would be 0


class Fld(SyntheticMetric[LikelihoodOptions]):
    """FLD over all images, of each class as many generated as test ones; or a class at a time."""

    def measure(self, images: EvaluationImages, synthetic: LabelledImages) -> MetricValue:
        """Return FLD, one a class, or Undefined with the reason."""
        shared_K = np.minimum(synthetic.counts_K, images.test().counts_K)
        if not self.options.per_class:
            value = self._of_classes(images, synthetic, even_counts(shared_K, self.options.images))
            return Undefined(value) if isinstance(value, str) else value

        def of_class(label: int) -> float | str:
            if not synthetic.counts_K[label]:
                return "no synthetic images"
            count = min(int(shared_K[label]), self.options.images)
            return self._of_classes(images, synthetic, np.where(np.arange(len(shared_K)) == label, count, 0))

        return by_class(synthetic.class_names, of_class)

    def _of_classes(
        self, images: EvaluationImages, synthetic: LabelledImages, counts_K: NDArray[np.int64]
    ) -> float | str:
        """Return FLD of so many images of each class and the training images of these classes, or why there is none."""
        (name, seen), test, extractor = seen_images(images), images.test(), self.options.extractor
        if not counts_K.any():
            return TOO_SMALL if (synthetic.counts_K * test.counts_K).any() else "no test images of these classes"
        seen_K = even_counts(np.where(counts_K > 0, seen.counts_K, 0), self.options.images)
        if min(counts_K.sum(), seen_K.sum()) < FEWEST:
            return f"fewer than {FEWEST} synthetic, training or test images"
        synthetic_ND, seen_MD, test_TD = (
            features_of(images, extractor, source, draw(source, of, of_each_K))
            for of, source, of_each_K in (
                ("synthetic", synthetic, counts_K),
                (name, seen, seen_K),
                ("test", test, counts_K),
            )
        )
        if not all(np.isfinite(features).all() for features in (synthetic_ND, seen_MD, test_TD)):
            return NOT_FINITE
        return feature_likelihood(synthetic_ND, seen_MD, test_TD, images.device)


def feature_likelihood(
    synthetic_ND: NDArray[np.float32], seen_MD: NDArray[np.float32], test_TD: NDArray[np.float32], device: str
) -> float:
    """Return FLD of features."""
    mean_D, deviation_D = seen_MD.mean(axis=0, dtype=np.float64), seen_MD.std(axis=0, dtype=np.float64)
    varies_D = deviation_D > 0  # what is the same in all training images tells nothing of the others
    generated_ND, train_MD, held_out_TD = (
        torch.from_numpy(((features - mean_D) / np.where(varies_D, deviation_D, 1))[:, varies_D]).to(
            computing_device(device)
        )
        for features in (synthetic_ND, seen_MD, test_TD)
    )
    order = torch.from_numpy(np.random.default_rng(seed_for("fld", 0)).permutation(len(train_MD)))
    centres, others = train_MD[order[: len(order) // 2]], train_MD[order[len(order) // 2 :]]
    baseline = mean_log_likelihood(held_out_TD, centres, fitted_variances(centres, others))
    value = mean_log_likelihood(held_out_TD, generated_ND, fitted_variances(generated_ND, train_MD))
    return 100 * (baseline - value) / max(1, int(varies_D.sum()))


def fitted_variances(centres_ND: Tensor, fitted_MD: Tensor, rounds: int = ROUNDS) -> Tensor:
    """Return the variance of each centre, float64 (N,), that makes the points `fitted_MD` more and more likely."""
    squared_MN = _squared_distances(fitted_MD, centres_ND)
    dimensions = centres_ND.shape[1]
    variance_N = squared_MN.mean(dim=0).div(dimensions).clamp(min=LEAST_VARIANCE)
    for _ in range(rounds):
        share_MN = _log_densities(squared_MN, variance_N, dimensions).softmax(dim=1)
        total_N = share_MN.sum(dim=0)
        moved_N = (share_MN * squared_MN).sum(dim=0) / (dimensions * total_N.clamp(min=1e-300))
        # A centre that no point is near has nothing to be fitted to, and stays as it is.
        variance_N = torch.where(total_N > 1e-12, moved_N.clamp(min=LEAST_VARIANCE), variance_N)
    return variance_N


def mean_log_likelihood(points_TD: Tensor, centres_ND: Tensor, variance_N: Tensor) -> float:
    """Return the mean log density of points under the mixture of normal distributions around the centres."""
    log_TN = _log_densities(_squared_distances(points_TD, centres_ND), variance_N, centres_ND.shape[1])
    return float((log_TN.logsumexp(dim=1) - math.log(len(centres_ND))).mean())


def _squared_distances(first_AD: Tensor, second_BD: Tensor) -> Tensor:
    return torch.cdist(first_AD, second_BD, compute_mode="donot_use_mm_for_euclid_dist").square()


def _log_densities(squared_AN: Tensor, variance_N: Tensor, dimensions: int) -> Tensor:
    """Return log N(point; centre, variance) from squared distances."""
    return -squared_AN / (2 * variance_N) - dimensions / 2 * (2 * math.pi * variance_N).log()
