"""What every executor offers, and the events it reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from balancebench.config import JSON, Compilation
from balancebench.stages.order import StepOrder

__all__ = ["Executor", "Finished", "Limits", "Progressed", "Site"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every worker knows: store, data folder, what to write as provenance, and whether networks are compiled."""

    store_root: Path
    data_root: Path
    provenance: dict[str, JSON]
    compilation: Compilation = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one step may take. None is without limit."""

    seconds: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Progressed:
    """A running step has done `done` of `total` units."""

    key: str
    done: float
    total: float
    message: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A step ended and its record is in the store."""

    key: str
    status: str
    seconds: float
    message: str


class Executor(Protocol):
    """Runs orders. `submit` only what it `takes`."""

    slots: int

    @property
    def idle(self) -> int:
        """How many more orders can be taken now."""
        ...

    def takes(self, order: StepOrder) -> bool:
        """Whether the step can start now; never where `idle` is 0."""
        ...

    def submit(self, order: StepOrder) -> None:
        """Start a step."""
        ...

    def poll(self, seconds: float) -> Sequence[Progressed | Finished]:
        """Return what happened, waiting at most `seconds` for something."""
        ...

    def close(self) -> None:
        """End every worker; steps that still run leave no record."""
        ...
