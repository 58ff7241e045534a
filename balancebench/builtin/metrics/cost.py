"""What a cell cost, its synthesis included, as metrics."""

from __future__ import annotations

from balancebench.component import Evaluation

__all__ = ["duration_seconds", "images_seen", "optimiser_steps", "peak_memory"]


def duration_seconds(evaluation: Evaluation) -> float:
    """Return the seconds of synthesis and training."""
    return evaluation.cost.duration_seconds


def images_seen(evaluation: Evaluation) -> float:
    """Return the training images seen, each as often as it was seen."""
    return float(evaluation.cost.images_seen)


def optimiser_steps(evaluation: Evaluation) -> float:
    """Return the optimiser steps taken."""
    return float(evaluation.cost.optimiser_steps)


def peak_memory(evaluation: Evaluation) -> float:
    """Return the peak memory in MiB."""
    return evaluation.cost.peak_memory_bytes / 2**20
