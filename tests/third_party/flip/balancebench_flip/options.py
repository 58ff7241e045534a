"""The options of the balancer and of the metric."""

from __future__ import annotations

from pydantic import Field

from balancebench import Options

__all__ = ["FlipOptions", "WorstClassOptions"]


class FlipOptions(Options):
    """The options of `flip_oversampling`."""

    share: float = Field(default=1.0, gt=0, le=1, description="how much of the gap to the largest class is filled")


class WorstClassOptions(Options):
    """The options of `worst_class_accuracy`: there are none."""
