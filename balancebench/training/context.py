"""What a training run needs of its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from balancebench.config import JSON, Compilation
from balancebench.training.predict import ModelPredictor

__all__ = ["RunContext"]


class RunContext(Protocol):
    """The part of `balancebench.FitContext` that training uses.

    FitContext describes the fields; it is declared in a layer above this one and fits this protocol.
    """

    @property
    def seed(self) -> int:
        """Seed of initial weights, order, augmentation and dropout."""
        ...

    @property
    def device(self) -> str:
        """Such as "cpu", "cuda:1" or "mps"."""
        ...

    @property
    def precision(self) -> Literal["fp32", "bf16"]:
        """The precision of the network's arithmetic; weights and losses are float32 in both."""
        ...

    @property
    def deterministic(self) -> bool:
        """Whether the same seed must give the same logits on this machine, bit for bit."""
        ...

    @property
    def compilation(self) -> Compilation:
        """Whether torch.compile is used: where it pays, in any case, or not at all."""
        ...

    @property
    def progress(self) -> Callable[[float, float, str], None]:
        """Report (steps done, steps in all, message)."""
        ...

    @property
    def epoch_finished(self) -> Callable[[int, ModelPredictor, Mapping[str, float]], None]:
        """Hand over (epoch from 0, predictor, values); the predictor is valid during the call."""
        ...

    @property
    def count(self) -> Callable[[int, int], None]:
        """Add (images seen, optimiser steps)."""
        ...

    @property
    def note(self) -> Callable[[str, JSON], None]:
        """Write (name, value) into the record's provenance: how the step was computed, where that changes no result."""
        ...
