"""Listens to imbalanced-learn's SMOTE: between which images each new one lies.

Axis suffixes: N training images, M new images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench import Parents

__all__ = ["listen"]

STEP = "_generate_samples"
"""What takes imbalanced-learn from indices and steps to images. It is not promised: where a version has none, the
parents stay unknown, and the images are what they are."""


def listen(sampler: Any, labels_N: NDArray[np.int64]) -> Callable[[], Parents | None]:
    """Return what tells, once `sampler` has made its images, their parents; None where it cannot be listened to.

    labels_N: of the training images that the sampler is given.
    """
    drawn: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    real_step: Callable[..., Any] | None = getattr(sampler, STEP, None)
    if real_step is None:
        return lambda: None

    def remember(
        X: Any, nn_data: Any, nn_num: Any, rows: Any, cols: Any, steps: Any, y_type: Any, *more: Any, **named: Any
    ) -> Any:
        members = np.flatnonzero(labels_N == y_type)  # rows and neighbours are counted within the class
        drawn.append((members[rows], members[nn_num[rows, cols]], steps.reshape(-1)))
        return real_step(X, nn_data, nn_num, rows, cols, steps, y_type, *more, **named)

    setattr(sampler, STEP, remember)

    def parents() -> Parents | None:
        if not drawn:
            return None
        first_M, second_M, weight_M = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        return Parents(first_N=first_M, second_N=second_M, second_weight_N=weight_M)

    return parents
