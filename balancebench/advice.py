"""Advice on a data set before any suite is run: what advisors are, and what they say.

An advisor looks at one training subset. `balancebench advise` asks every installed one, and prints what they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol, cast

from balancebench.config import JSON
from balancebench.errors import PluginError
from balancebench.evaluation import SubsetEvaluation

__all__ = ["Advice", "Advise", "Advisor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What an advisor says: paragraphs for a reader, and the same figures for a program."""

    heading: str
    paragraphs: tuple[str, ...]
    figures: Mapping[str, JSON] = field(default_factory=dict[str, JSON])


class Advise(Protocol):
    """Looks at a training subset."""

    def __call__(self, evaluation: SubsetEvaluation, /) -> Advice:
        """Return what there is to say. Words with their uncertainty, no verdict."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisor:
    """An advisor as it is declared. build: "package.module:function" of an `Advise`, imported only when it is asked."""

    name: str
    build: str

    def create(self) -> Advise:
        """Import what `build` names; raise PluginError where it is not there."""
        module_name, _, attribute = self.build.partition(":")
        try:
            return cast("Advise", getattr(import_module(module_name), attribute))
        except (ImportError, AttributeError, ValueError) as error:
            raise PluginError(f"the advisor {self.name} cannot be built from {self.build!r}: {error}") from error
