"""What a cell cost, from the records of the steps that it was made by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from balancebench.evaluation import Cost
from balancebench.step import BalancerInputs, input_keys
from balancebench.store import Record
from balancebench.store.known_step import KnownStep

__all__ = ["Spent", "cell_cost"]


Spent: TypeAlias = Record | KnownStep
"""What says how much a step took: its record, or what the store's index has of it."""


def cell_cost(training: Spent, balancer: BalancerInputs, read: Callable[[str], Spent | None]) -> Cost:
    """Return what a cell cost: its training, and all that its balancer made for it (shared steps counted in full).

    read: key -> what the step took; a step whose record is gone counts as nothing.
    """
    records: list[Spent] = [training, *(record for key in input_keys(balancer) if (record := read(key)) is not None)]
    return Cost(
        duration_seconds=round(sum(record.duration_seconds for record in records), 3),
        images_seen=sum(record.images_seen for record in records),
        optimiser_steps=sum(record.optimiser_steps for record in records),
        peak_memory_bytes=max(record.peak_memory_bytes for record in records),
        classifier_images_seen=training.images_seen,
    )
