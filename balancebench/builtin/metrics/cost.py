"""What a cell cost, its synthesis included, as metrics."""

from __future__ import annotations

from dataclasses import dataclass

from balancebench.config import Options
from balancebench.evaluation import Evaluation

__all__ = ["DurationSeconds", "ImagesSeen", "OptimiserSteps", "PeakMemory"]


@dataclass(frozen=True)
class DurationSeconds:
    """The seconds of synthesis and training."""

    options: Options

    def __call__(self, evaluation: Evaluation) -> float:
        """Return the seconds."""
        return evaluation.cost.duration_seconds


@dataclass(frozen=True)
class ImagesSeen:
    """The training images seen, each as often as it was seen."""

    options: Options

    def __call__(self, evaluation: Evaluation) -> float:
        """Return the number of images."""
        return float(evaluation.cost.images_seen)


@dataclass(frozen=True)
class OptimiserSteps:
    """The optimiser steps taken."""

    options: Options

    def __call__(self, evaluation: Evaluation) -> float:
        """Return the number of steps."""
        return float(evaluation.cost.optimiser_steps)


@dataclass(frozen=True)
class PeakMemory:
    """The peak memory in MiB."""

    options: Options

    def __call__(self, evaluation: Evaluation) -> float:
        """Return the MiB."""
        return evaluation.cost.peak_memory_bytes / 2**20
