"""Declares one balancer and one metric."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import BalancerComponent, MetricComponent, hookimpl
from balancebench_flip.options import FlipOptions, WorstClassOptions


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare `flip_oversampling`."""
    return [
        BalancerComponent(
            name="flip_oversampling",
            summary="Repeat images of the smaller classes, mirrored left to right.",
            options=FlipOptions,
            build="balancebench_flip.flip_oversampling:FlipOversampling",
            synthesises=True,
        )
    ]


@hookimpl
def balancebench_metrics() -> Sequence[MetricComponent[Any]]:
    """Declare `worst_class_accuracy`."""
    return [
        MetricComponent(
            name="worst_class_accuracy",
            summary="Recall of the class with the lowest recall.",
            options=WorstClassOptions,
            build="balancebench_flip.worst_class:WorstClassAccuracy",
            unit="%",
        )
    ]
