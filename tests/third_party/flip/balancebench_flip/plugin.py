"""Declares one balancer and one metric."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from balancebench import Balancer, BalancerComponent, Metric, MetricComponent, Options, hookimpl


class FlipOptions(Options):
    """The options of `flip_oversampling`."""

    share: float = Field(default=1.0, gt=0, le=1, description="how much of the gap to the largest class is filled")


class WorstClassOptions(Options):
    """The options of `worst_class_accuracy`: there are none."""


def build_flip(options: FlipOptions) -> Balancer:
    """Build `flip_oversampling`."""
    from balancebench_flip.flip_oversampling import FlipOversampling

    return FlipOversampling(options.share)


def build_worst_class(_options: WorstClassOptions) -> Metric:
    """Build `worst_class_accuracy`."""
    from balancebench_flip.worst_class import worst_class_accuracy

    return worst_class_accuracy


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Balancer]]:
    """Declare `flip_oversampling`."""
    return [
        BalancerComponent(
            name="flip_oversampling",
            summary="Repeat images of the smaller classes, mirrored left to right.",
            options=FlipOptions,
            build=build_flip,
            synthesises=True,
        )
    ]


@hookimpl
def balancebench_metrics() -> Sequence[MetricComponent[Metric]]:
    """Declare `worst_class_accuracy`."""
    return [
        MetricComponent(
            name="worst_class_accuracy",
            summary="Recall of the class with the lowest recall.",
            options=WorstClassOptions,
            build=build_worst_class,
            unit="%",
        )
    ]
