"""C_T: whether generated images lie nearer to training images than test images do (Meehan, Chaudhuri, Dasgupta 2020).

The space is cut into cells by k-means of the training images. In each cell the distances of generated and of test
images to their nearest training image are compared by Mann and Whitney's U, which for m generated and n test images has
mean m n / 2 and variance m n (m + n + 1) / 12 where both come from one distribution:

    Z = (U - m n / 2) / sqrt(m n (m + n + 1) / 12),   U the pairs whose generated image is farther, ties a half
    C_T = sum over cells of (share of the test images) Z / sum over those cells of the share

Far below 0 the generated images are copies, far above 0 they lie where no training images are, and about 0, with a
deviation of 1 in each cell, they lie as test images do.

Chosen here: cells of fewer than 10 test images are dissolved into their neighbours, the smallest first, where the paper
leaves a cell without test images undefined.

Axis suffixes: N images, M training images, D features, K classes, C cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench import EvaluationImages, LabelledImages, MetricValue, Undefined, seed_for
from balancebench_quality.blocks import computing_device, nearest, nearest_distances
from balancebench_quality.copies import seen_images
from balancebench_quality.features import features_of
from balancebench_quality.options import DataCopyingOptions
from balancebench_quality.selection import by_class, draw, even_counts
from balancebench_quality.synthetic_metric import NOT_FINITE, TOO_SMALL, SyntheticMetric

__all__ = ["DataCopying", "copying_z", "mann_whitney_z"]

FEWEST_TEST = 20  # test images of what is measured
FEWEST_IN_CELL = 10  # test images


class DataCopying(SyntheticMetric[DataCopyingOptions]):
    """C_T over all images, of each class as many generated as test ones; or a class at a time."""

    def measure(self, images: EvaluationImages, synthetic: LabelledImages) -> MetricValue:
        """Return C_T, one a class, or Undefined with the reason."""
        test = images.test()
        shared_K = np.minimum(synthetic.counts_K, test.counts_K)
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
        """Return C_T of so many images of each class and the training images of these classes, or why there is none."""
        (name, seen), test, extractor = seen_images(images), images.test(), self.options.extractor
        if not counts_K.any():
            return TOO_SMALL if (synthetic.counts_K * test.counts_K).any() else "no test images of these classes"
        if counts_K.sum() < FEWEST_TEST:
            return f"fewer than {FEWEST_TEST} synthetic or test images"
        seen_K = np.where(counts_K > 0, seen.counts_K, 0)
        if not seen_K.any():
            return "no training images of these classes"
        synthetic_ND, test_ND, seen_MD = (
            features_of(images, extractor, source, draw(source, of, of_each_K))
            for of, source, of_each_K in (
                ("synthetic", synthetic, counts_K),
                ("test", test, counts_K),
                (name, seen, seen_K),
            )
        )
        if not all(np.isfinite(features).all() for features in (synthetic_ND, test_ND, seen_MD)):
            return NOT_FINITE
        return copying_z(synthetic_ND, test_ND, seen_MD, self.options, images.device)


def copying_z(
    synthetic_ND: NDArray[np.float32],
    test_ND: NDArray[np.float32],
    seen_MD: NDArray[np.float32],
    options: DataCopyingOptions,
    device: str,
) -> float | str:
    """Return C_T of features, or why there is none."""
    where = computing_device(device)
    if seen_MD.shape[1] > options.dimensions:
        synthetic_ND, test_ND, seen_MD = _principal(synthetic_ND, test_ND, seen_MD, options.dimensions)
    centres_CD = _centres(seen_MD, max(1, len(seen_MD) // options.images_per_cell))
    _, test_cells_N = nearest(test_ND, centres_CD, where)
    while len(centres_CD) > 1:
        in_cell_C = np.bincount(test_cells_N, minlength=len(centres_CD))
        if in_cell_C.min() >= FEWEST_IN_CELL:
            break
        centres_CD = np.delete(centres_CD, int(in_cell_C.argmin()), axis=0)
        _, test_cells_N = nearest(test_ND, centres_CD, where)
    _, synthetic_cells_N = nearest(synthetic_ND, centres_CD, where)
    synthetic_distance_N = nearest_distances(synthetic_ND, seen_MD, where)
    test_distance_N = nearest_distances(test_ND, seen_MD, where)
    weighted, weights = 0.0, 0.0
    for cell in range(len(centres_CD)):
        of_synthetic_N, of_test_N = synthetic_cells_N == cell, test_cells_N == cell
        if of_synthetic_N.mean() <= options.least_share or not of_test_N.any():
            continue
        weight = float(of_test_N.mean())
        weighted += weight * mann_whitney_z(synthetic_distance_N[of_synthetic_N], test_distance_N[of_test_N])
        weights += weight
    return weighted / weights if weights else "no cell holds enough synthetic images"


def mann_whitney_z(first_N: NDArray[np.float64], second_N: NDArray[np.float64]) -> float:
    """Return by how many standard deviations the first are larger than the second, by ranks."""
    from scipy.stats import rankdata

    first_count, second_count = len(first_N), len(second_N)
    ranks = rankdata(np.concatenate([first_N, second_N]))
    u = ranks[:first_count].sum() - first_count * (first_count + 1) / 2
    pairs = first_count * second_count
    return float((u - pairs / 2) / np.sqrt(pairs * (first_count + second_count + 1) / 12))


def _centres(seen_MD: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    from sklearn.cluster import KMeans

    if count == 1:
        return seen_MD.mean(axis=0, keepdims=True)
    seed = seed_for("data_copying", 0) % 2**32
    clusters: Any = KMeans(n_clusters=count, n_init=1, random_state=seed)  # type: ignore[arg-type] - a number is right
    return clusters.fit(seen_MD).cluster_centers_.astype(np.float32)


def _principal(
    synthetic_ND: NDArray[np.float32], test_ND: NDArray[np.float32], seen_MD: NDArray[np.float32], dimensions: int
) -> tuple[NDArray[np.float32], ...]:
    """Return the three sets in the principal components of the training images."""
    mean_D = seen_MD.mean(axis=0)
    _, _, components_DD = np.linalg.svd(seen_MD - mean_D, full_matrices=False)
    return tuple((part - mean_D) @ components_DD[:dimensions].T for part in (synthetic_ND, test_ND, seen_MD))
