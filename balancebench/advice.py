"""Advice on a data set before any suite is run: what advisors are, and what they say.

An advisor looks at one training subset. `balancebench advise` asks every installed one, and prints what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol, cast

from balancebench.config import JSON
from balancebench.errors import PluginError
from balancebench.evaluation import SubsetEvaluation

__all__ = ["Advice", "Advise", "Advisor", "Relation"]


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
class Relation:
    """What somebody published of how much made images gain, given a metric of the training subset.

    metric: its name. title: how its axis is headed. name: of the curve, with its source. gain(value): in per cent of
    the accuracy without. seen: least and largest value of the metric that it was fitted to.
    """

    metric: str
    title: str
    name: str
    gain: Callable[[float], float]
    seen: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisor:
    """An advisor as it is declared. build: "package.module:function" of an `Advise`, imported only when it is asked.

    relation: "package.module:name" of a `Relation` that it goes by; "" where there is none.
    """

    name: str
    build: str
    relation: str = ""

    def create(self) -> Advise:
        """Import what `build` names; raise PluginError where it is not there."""
        return cast("Advise", self._imported(self.build))

    def published_relation(self) -> Relation | None:
        """Import what `relation` names, None where it names nothing; raise PluginError where it is not there."""
        return cast("Relation", self._imported(self.relation)) if self.relation else None

    def _imported(self, path: str) -> object:
        module_name, _, attribute = path.partition(":")
        try:
            return getattr(import_module(module_name), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise PluginError(f"the advisor {self.name} cannot be built from {path!r}: {error}") from error
