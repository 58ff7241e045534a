"""The accuracy of the worst class."""

from __future__ import annotations

import numpy as np

from balancebench import Evaluation, Undefined
from balancebench_flip.options import WorstClassOptions


class WorstClassAccuracy:
    """The lowest recall of the classes that have test images, 0..1."""

    def __init__(self, options: WorstClassOptions) -> None:
        """Take no option: there are none."""

    def __call__(self, evaluation: Evaluation) -> float | Undefined:
        """Return it, or Undefined where there are no test images."""
        hit_N = evaluation.logits_NK.argmax(axis=1) == evaluation.labels_N
        recalls = [float(hit_N[evaluation.labels_N == label].mean()) for label in np.unique(evaluation.labels_N)]
        return min(recalls) if recalls else Undefined("there are no test images")
