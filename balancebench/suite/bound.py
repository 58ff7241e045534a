"""A suite whose components are found and whose options are validated: all that planning needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from balancebench.component import Component
from balancebench.config import JSON, Options, identity_config
from balancebench.suite.schema import AXES, Axis, Report, ValidationTable

__all__ = ["BoundComponent", "BoundSuite", "Published", "SeedTriple", "Selection"]


class SeedTriple(NamedTuple):
    """One seed for each of the three streams."""

    subset: int
    generator: int
    classifier: int

    def __str__(self) -> str:
        return str(self.subset) if len(set(self)) == 1 else f"{self.subset}/{self.generator}/{self.classifier}"


@dataclass(frozen=True, kw_only=True)
class BoundComponent:
    """One entry of an axis (or a metric): a component, its label and its validated options.

    group: the label before a sweep added its values. base: the wrapped balancer, where the options name one.
    """

    label: str
    group: str
    distribution: str
    component: Component[Any]
    options: Options
    base: BoundComponent | None = None

    @property
    def qualified_name(self) -> str:
        """`distribution:name`."""
        return f"{self.distribution}:{self.component.name}"

    @cached_property
    def identity(self) -> Mapping[str, JSON]:
        """What decides the outcome: component, revision, options with defaults, the data's own identity."""
        identity: dict[str, JSON] = {
            "component": self.qualified_name,
            "revision": self.component.revision,
            "options": identity_config(self.options),
        }
        if self.base is not None:
            identity["options"].pop("base")
            identity["base"] = dict(self.base.identity)
        if self.component.identity is not None:
            identity["data"] = self.component.identity(self.options)
        return identity

    @cached_property
    def reference(self) -> Mapping[str, JSON]:
        """What a worker needs to build it again: component and every option, paths included."""
        reference: dict[str, JSON] = {
            "component": self.qualified_name,
            "options": self.options.model_dump(mode="json"),
            "base": None if self.base is None else dict(self.base.reference),
        }
        return reference

    def __hash__(self) -> int:
        return hash((self.label, self.qualified_name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Cells by label; an axis of None matches all."""

    dataset: str | None = None
    imbalancer: str | None = None
    balancer: str | None = None
    classifier: str | None = None

    def matches(self, entries: Mapping[Axis, BoundComponent]) -> bool:
        """Say whether a cell of these entries is selected."""
        for axis in AXES:
            label: str | None = getattr(self, axis)
            if label is not None and label not in (entries[axis].label, entries[axis].group):
                return False
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A paper's numbers (metric label -> value) for the cells of a selection."""

    selection: Selection
    report: Report
    ceiling: bool
    values: Mapping[str, float]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundSuite:
    """A suite ready for planning; every mistake in its file has been reported before this exists.

    overrides: what its profile replaced, as the file says it; empty without a profile.
    """

    name: str
    title: str
    description: str
    path: Path
    profile: str | None
    overrides: Mapping[str, JSON]
    metrics: tuple[BoundComponent, ...]
    reports: tuple[Report, ...]
    seeds: tuple[SeedTriple, ...]
    precision: str
    deterministic: bool
    jobs_per_gpu: int
    validation: ValidationTable | None
    floor: bool
    ceiling: bool
    axes: Mapping[Axis, tuple[BoundComponent, ...]]
    no_balancer: BoundComponent
    no_imbalance: BoundComponent
    exclude: tuple[Selection, ...]
    include: tuple[Selection, ...]
    published: tuple[Published, ...]
