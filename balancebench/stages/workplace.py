"""What a stage works with inside a worker: the step, the store, a folder for its results, and notes for the record."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from balancebench.component import Component, Kind
from balancebench.config import JSON, Compilation, Options
from balancebench.contracts import Progress
from balancebench.plain_text import visible
from balancebench.registry import Registry
from balancebench.stages.judge import TestJudge
from balancebench.step import ComponentReference, Step
from balancebench.store import Record, Store

__all__ = ["Built", "EpochEndedCall", "Workplace"]

EpochEndedCall = Callable[[int, Mapping[str, float]], object]
"""epoch_ended(epoch, values): what a classifier reports of an epoch, counted from 0; values by the curve's name."""

InputsT = TypeVar("InputsT")


@dataclass(frozen=True, slots=True)
class Built:
    """A component bound again in the worker: what it declares, its options, and the object it built."""

    component: Component[Any, Any]
    options: Options
    object: Any
    base: Built | None = None

    @property
    def packages(self) -> frozenset[str]:
        """The packages whose code it is made of, the wrapped balancer's included."""
        own = self.component.build.partition(":")[0].partition(".")[0]
        return frozenset({own}) | (self.base.packages if self.base else frozenset())

    @property
    def outside_data(self) -> tuple[str, ...]:
        """Descriptions of the data from outside the suite that it brings in, the wrapped balancer's included."""
        own = self.component.outside_data(self.options)
        return ((own,) if own else ()) + (self.base.outside_data if self.base else ())


@dataclass(slots=True, kw_only=True)
class Workplace:
    """What a stage is given, and what it notes for the step's record.

    judge: tells how good test logits are. provenance: what the record will say of software and machine.
    earlier_seconds, earlier_peak_bytes: what earlier attempts at the step took up to the state that this one goes on
    from.
    """

    step: Step
    store: Store
    registry: Registry
    device: str
    compilation: Compilation
    checkpoint_seconds: float
    data_root: Path
    provenance: dict[str, JSON]
    results: Path
    scratch: Path
    progress: Progress
    judge: TestJudge
    epoch_ended: EpochEndedCall
    used_withheld_data: bool = False
    outside_data: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    images_seen: int = 0
    optimiser_steps: int = 0
    notes: dict[str, JSON] = field(default_factory=dict[str, JSON])
    earlier_seconds: float = 0.0
    earlier_peak_bytes: int = 0
    _answers: Path | None = None
    _aside_seconds: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    @property
    def has_answers(self) -> bool:
        """Whether the step leaves labels of test images."""
        return self._answers is not None

    @property
    def answers(self) -> Path:
        """A folder for the labels of test images, which get a place of their own; made when it is first asked for."""
        self._answers = self._answers or self.store.answers.temporary_folder()
        return self._answers

    @property
    def seconds(self) -> float:
        """What the step has taken so far: this attempt, and of earlier ones what it goes on from.

        Checks of what a plugin did are not its time.
        """
        return self.earlier_seconds + time.monotonic() - self._start - self._aside_seconds

    @contextmanager
    def aside(self) -> Generator[None]:
        """Do something inside the block that is not the method's work."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._aside_seconds += time.monotonic() - start

    @property
    def logger(self) -> logging.Logger:
        """The logger that plugins get."""
        return logging.getLogger(f"balancebench.{self.step.stage}")

    def inputs(self, kind: type[InputsT]) -> InputsT:
        """Return the step's inputs, which are of the kind that its stage reads."""
        inputs: Any = self.step.inputs
        assert isinstance(inputs, kind)  # noqa: S101 - the plan gives each stage its own
        return inputs

    def record(self, key: str) -> Record:
        """Return the record of a finished input; raise StoreError where it is not there."""
        return self.store.files(key).record

    def digest(self, key: str) -> str:
        """Return the SHA-256 of all that a finished input left; raise StoreError where it is not there."""
        return self.store.files(key).digest

    def build(self, kind: Kind, role: str) -> Built:
        """Build the step's component with this role, and note what outside data it brings."""
        built = self.build_from(kind, self.step.components[role])
        self.outside_data += built.outside_data
        return built

    def build_from(self, kind: Kind, reference: ComponentReference) -> Built:
        """Build a component from its reference, the balancer it wraps first."""
        component = self.registry.find(kind, reference.component).component
        options = component.options.model_validate(reference.options)
        base = None if reference.base is None else self.build_from(kind, reference.base)
        return Built(component, options, component.create(options), base)

    def count(self, images: int, steps: int) -> None:
        """Add to the images seen and optimiser steps taken."""
        self.images_seen += images
        self.optimiser_steps += steps

    def warn(self, text: str) -> None:
        """Tell readers of every result that is made from this step, in one line, what they must know of it."""
        self.warnings.append(visible(" ".join(text.split())))

    def note(self, name: str, value: JSON) -> None:
        """Write into the record's provenance how the step was computed."""
        self.notes[name] = value
