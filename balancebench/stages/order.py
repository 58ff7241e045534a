"""A step as it is sent to a worker, and what the worker knows besides."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict

from balancebench.component import Component, Kind, Progress
from balancebench.config import JSON, Compilation, Options
from balancebench.errors import BalancebenchError
from balancebench.plan import Step
from balancebench.registry import Registry
from balancebench.store import Record, Store

__all__ = ["Built", "StepOrder", "Workplace", "order_for"]


class StepOrder(BaseModel):
    """A step, as JSON: see `balancebench.plan.Step`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    stage: str
    label: str
    identity: dict[str, JSON]
    inputs: dict[str, str]
    work: dict[str, JSON]
    profile: str | None

    @property
    def settings(self) -> Mapping[str, JSON]:
        """The seeds and settings of the step."""
        return self.identity["settings"]

    @property
    def record_fields(self) -> dict[str, JSON]:
        """What every record says of its step."""
        return self.model_dump(include={"key", "stage", "label", "identity", "inputs", "profile"})


def order_for(step: Step) -> StepOrder:
    """Return the order that a plan's step is sent as."""
    return StepOrder(
        key=step.key,
        stage=step.stage,
        label=step.label,
        identity=dict(step.identity),
        inputs=dict(step.inputs),
        work=dict(step.work),
        profile=step.profile,
    )


@dataclass(frozen=True, slots=True)
class Built:
    """A component bound again in the worker: what it declares, its options, and the object it built."""

    component: Component[Any]
    options: Options
    object: Any
    base: Built | None = None

    @property
    def outside_data(self) -> tuple[str, ...]:
        """Descriptions of the data from outside the suite that it brings in, the wrapped balancer's included."""
        own = self.component.outside_data(self.options)
        return ((own,) if own else ()) + (self.base.outside_data if self.base else ())


@dataclass(slots=True, kw_only=True)
class Workplace:
    """What a stage works with: the order, the store, a folder for its results, and notes for the record."""

    order: StepOrder
    store: Store
    registry: Registry
    device: str
    compilation: Compilation
    data_root: Path
    results: Path
    scratch: Path
    progress: Progress
    used_withheld_data: bool = False
    outside_data: list[str] = field(default_factory=list[str])
    images_seen: int = 0
    optimiser_steps: int = 0
    notes: dict[str, JSON] = field(default_factory=dict[str, JSON])

    @property
    def logger(self) -> logging.Logger:
        """The logger that plugins get."""
        return logging.getLogger(f"balancebench.{self.order.stage}")

    def input_folder(self, role: str) -> Path:
        """Return the folder of the input step with this role."""
        return self.store.folder(self.order.inputs[role])

    def input_record(self, role: str) -> Record:
        """Return the record of the input step with this role."""
        record = self.store.read_done(self.order.inputs[role])
        if record is None:
            raise BalancebenchError(f"the {role} step {self.order.inputs[role][:12]} is not in the store")
        return record

    def build(self, kind: Kind, role: str) -> Built:
        """Build the component of the order with this role, and note what outside data it brings."""
        built = self.build_from(kind, self.order.work["components"][role])
        self.outside_data += built.outside_data
        return built

    def build_from(self, kind: Kind, reference: Mapping[str, JSON]) -> Built:
        """Build a component from its reference, the balancer it wraps first."""
        component = self.registry.find(kind, cast("str", reference["component"])).component
        options = component.options.model_validate(reference["options"])
        base = reference.get("base")
        return Built(component, options, component.build(options), self.build_from(kind, base) if base else None)

    def count(self, images: int, steps: int) -> None:
        """Add to the images seen and optimiser steps taken."""
        self.images_seen += images
        self.optimiser_steps += steps

    def note(self, name: str, value: JSON) -> None:
        """Write into the record's provenance how the step was computed."""
        self.notes[name] = value
