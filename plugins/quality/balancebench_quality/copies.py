"""How near synthetic images lie to images there were before: distances, and a test for copying.

memorisation follows the idea of Meehan et al. 2020 (data-copying): a generator that has learnt the distribution puts
its images no nearer to the images it saw than to others of the same distribution, and the test images are such others.

Axis suffixes: N synthetic images, D features, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from balancebench import EvaluationImages, LabelledImages, MetricValue, Undefined
from balancebench_quality.blocks import computing_device, nearest_distances
from balancebench_quality.features import features_of
from balancebench_quality.options import CopyOptions, DistanceOptions
from balancebench_quality.selection import by_class, draw, even_counts, named
from balancebench_quality.synthetic_metric import NOT_FINITE, TOO_SMALL, SyntheticMetric

__all__ = ["Memorisation", "NearestNeighbourDistance", "copy_counts", "seen_images"]

FEWEST = 10  # images of a class: with n a side chance alone moves the share by some 1 / (2 sqrt(2 n)), 0.11 for 10


class NearestNeighbourDistance(SyntheticMetric[DistanceOptions]):
    """The mean Euclidean distance of synthetic images to the nearest image of a set, whatever its class.

    That set is the training images that the generator could see, or the test images.
    """

    def measure(self, images: EvaluationImages, synthetic: LabelledImages) -> MetricValue:
        """Return the mean, one a class, or Undefined with the reason."""
        name, others = seen_images(images) if self.options.to == "train" else ("test", images.test())
        if len(others) == 0:
            return Undefined("there are no test images" if name == "test" else "there are no training images")
        extractor = self.options.extractor
        counts_K = copy_counts(synthetic, self.options)
        if not counts_K.any():
            return Undefined(TOO_SMALL)
        chosen_N = draw(synthetic, "synthetic", counts_K)
        synthetic_ND = features_of(images, extractor, synthetic, chosen_N)
        others_ND = features_of(images, extractor, others, np.arange(len(others)))
        if not (np.isfinite(synthetic_ND).all() and np.isfinite(others_ND).all()):
            return Undefined(NOT_FINITE)
        nearest_N = nearest_distances(synthetic_ND, others_ND, computing_device(images.device))
        if not self.options.per_class:
            return float(nearest_N.mean())
        labels_N = synthetic.labels_N[chosen_N]

        def of_class(label: int) -> float | str:
            of_label_N = nearest_N[labels_N == label]
            return float(of_label_N.mean()) if len(of_label_N) else "no synthetic images"

        return by_class(synthetic.class_names, of_class)


class Memorisation(SyntheticMetric[CopyOptions]):
    """The share of synthetic images that lie nearer to a training image than to a test image of their class.

    As many test images are drawn as there are training images that the generator saw, so that without copying a half
    lies nearer to either; equal distances count as a half. Where there are fewer test images all are taken, and being
    nearer to a training image counts for less in proportion (see `_share`).
    """

    def measure(self, images: EvaluationImages, synthetic: LabelledImages) -> MetricValue:
        """Return the share, one a class, or Undefined with the reason."""
        (name, seen), test = seen_images(images), images.test()
        seen_K, test_K = seen.counts_K, test.counts_K
        counts_K = copy_counts(synthetic, self.options)
        if not counts_K.any():
            return Undefined(TOO_SMALL)
        few = f"fewer than {FEWEST} training or test images"
        is_few_K = np.minimum(seen_K, test_K) < FEWEST

        def nearer(label: int) -> NDArray[np.float64] | str:
            return self._nearer(images, (name, seen), synthetic, counts_K, label)

        def of_class(label: int) -> float | str:
            if not counts_K[label]:
                return "no synthetic images"
            weights = few if is_few_K[label] else nearer(label)
            return weights if isinstance(weights, str) else _share(weights)

        if self.options.per_class:
            return by_class(synthetic.class_names, of_class)
        labels = np.flatnonzero(counts_K)
        if small := [synthetic.class_names[label] for label in labels if is_few_K[label]]:
            return Undefined(f"{few}: {named(small)}; per_class = true gives the other classes")
        parts = [nearer(int(label)) for label in labels]
        weights = [part for part in parts if not isinstance(part, str)]
        return _share(np.sum(weights, axis=0)) if len(weights) == len(parts) else Undefined(NOT_FINITE)

    def _nearer(
        self,
        images: EvaluationImages,
        training: tuple[str, LabelledImages],
        synthetic: LabelledImages,
        counts_K: NDArray[np.int64],
        label: int,
    ) -> NDArray[np.float64] | str:
        """Return the weights of the synthetic images of a class that lie nearer to (training, test) images."""
        (name, seen), test, extractor = training, images.test(), self.options.extractor
        only_K = np.arange(len(counts_K)) == label
        seen_count, test_count = int(seen.counts_K[label]), int(min(seen.counts_K[label], test.counts_K[label]))
        synthetic_ND, seen_ND, test_ND = (
            features_of(images, extractor, source, draw(source, of, np.where(only_K, count, 0)))
            for of, source, count in (
                ("synthetic", synthetic, counts_K[label]),
                (name, seen, seen_count),
                ("test", test, test_count),
            )
        )
        if not all(np.isfinite(features_ND).all() for features_ND in (synthetic_ND, seen_ND, test_ND)):
            return NOT_FINITE
        device = computing_device(images.device)
        to_seen_N = nearest_distances(synthetic_ND, seen_ND, device)
        to_test_N = nearest_distances(synthetic_ND, test_ND, device)
        is_equal_N = np.isclose(to_seen_N, to_test_N, rtol=1e-6, atol=1e-6)  # but for rounding
        nearer_seen = ((to_seen_N < to_test_N) & ~is_equal_N).sum() + is_equal_N.sum() / 2
        # Without copying, the nearest of all is a training image with probability seen / (seen + test).
        expected = seen_count / (seen_count + test_count)
        return np.array([nearer_seen * (1 - expected), (len(synthetic_ND) - nearer_seen) * expected])


def _share(weights: NDArray[np.float64]) -> float:
    """Return the part of the first weight: with equally many training and test images the plain share.

    Otherwise an image counts 1 - p where it is nearer to a training image and p where it is nearer to a test image,
    with p the probability of the first without copying: then both weights are expected to be equal, the part a half.
    """
    return float(weights[0] / weights.sum())


def seen_images(images: EvaluationImages) -> tuple[str, LabelledImages]:
    """Return the training images that the generator could see: the withheld ones too where it asked for them."""
    return ("full_train", images.full_train()) if images.used_withheld_data else ("kept", images.kept())


def copy_counts(synthetic: LabelledImages, options: CopyOptions) -> NDArray[np.int64]:
    """Return how many images of each class are measured."""
    if options.per_class:
        return np.minimum(synthetic.counts_K, options.images)
    return even_counts(synthetic.counts_K, options.images)
