"""authpct: the share of images that are no copies (Alaa, van Breugel, Saveliev and van der Schaar 2022, section 5).

An image g is authentic where it lies farther from the training image r nearest to it than r lies from the training
image nearest to r. Images that were never copied do not reach 100 %, nor any other fixed share: it rises with the
dimensions and falls with fewer training images. So the share of the test images belongs beside it (`of = "test"`).

Axis suffixes: N images measured, M training images, D features, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from balancebench import EvaluationImages, LabelledImages, MetricValue, Undefined
from balancebench_quality.blocks import computing_device, kth_neighbour_distances, nearest
from balancebench_quality.copies import copy_counts, seen_images
from balancebench_quality.features import features_of
from balancebench_quality.options import AuthenticityOptions
from balancebench_quality.selection import by_class, draw
from balancebench_quality.synthetic_metric import NOT_FINITE, TOO_SMALL, SyntheticMetric

__all__ = ["Authpct"]


class Authpct(SyntheticMetric[AuthenticityOptions]):
    """The share of synthetic (or test) images that are authentic, among all training images that could be seen.

    Training images that are equal count once: of two equal ones each is the other's neighbour, at distance 0, and every
    copy of them would pass.
    """

    def measure(self, images: EvaluationImages, synthetic: LabelledImages) -> MetricValue:
        """Return the share, one a class, or Undefined with the reason."""
        extractor, (_, seen) = self.options.extractor, seen_images(images)
        name, measured = ("synthetic", synthetic) if self.options.of == "synthetic" else ("test", images.test())
        counts_K = copy_counts(measured, self.options)
        if not counts_K.any():
            return Undefined(TOO_SMALL if len(measured) else "there are no test images")
        chosen_N = draw(measured, name, counts_K)
        measured_ND = features_of(images, extractor, measured, chosen_N)
        seen_MD = features_of(images, extractor, seen, np.arange(len(seen)))
        if not (np.isfinite(measured_ND).all() and np.isfinite(seen_MD).all()):
            return Undefined(NOT_FINITE)
        is_authentic_N = _are_authentic(measured_ND, np.unique(seen_MD, axis=0), images.device)
        if isinstance(is_authentic_N, str):
            return Undefined(is_authentic_N)
        if not self.options.per_class:
            return float(is_authentic_N.mean())
        labels_N = measured.labels_N[chosen_N]

        def of_class(label: int) -> float | str:
            of_label_N = is_authentic_N[labels_N == label]
            return float(of_label_N.mean()) if len(of_label_N) else f"no {name} images"

        return by_class(measured.class_names, of_class)


def _are_authentic(
    measured_ND: NDArray[np.float32], seen_MD: NDArray[np.float32], device: str
) -> NDArray[np.bool_] | str:
    """Say of each measured image whether it is, or why none can be told; no two of the seen are equal."""
    if len(seen_MD) < 2:
        return "there are fewer than 2 different training images"
    to_seen_N, nearest_N = nearest(measured_ND, seen_MD, computing_device(device))
    own_M = kth_neighbour_distances(seen_MD, 1, computing_device(device))
    return to_seen_N > own_M[nearest_N]
