"""What balancers that wrap another one share: its plan, and that plan with every batch mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from balancebench import BalancerError, BatchTransform, LabelledImages, Phase, PlanContext, TrainingPlan
from balancebench_longtail.class_statistics import refuse_single_class

__all__ = ["base_plan", "mixed_plan"]


def base_plan(train: LabelledImages, context: PlanContext) -> TrainingPlan:
    """Return the plan of the wrapped balancer; the imbalanced baseline's where none is wrapped.

    Raises BalancerError where fewer than two classes have images.
    """
    refuse_single_class(train)
    if context.base is None:
        return TrainingPlan(phases=(Phase(images=train),))
    return context.base.plan(train, context.rng)


def mixed_plan(
    train: LabelledImages, context: PlanContext, transform_for: Callable[[LabelledImages], BatchTransform]
) -> TrainingPlan:
    """Return the wrapped balancer's plan with the batches of every phase mixed.

    transform_for: the images of a phase -> its batch transform. Raises BalancerError where the wrapped balancer mixes
    its batches itself.
    """
    plan = base_plan(train, context)
    if any(phase.batch_transform is not None for phase in plan.phases):
        raise BalancerError("the base already mixes its batches, and a batch is mixed once: name another base")
    mixed = [replace(phase, batch_transform=transform_for(phase.images)) for phase in plan.phases]
    return replace(plan, phases=tuple(mixed))
