"""A suite whose components are found and whose options are validated: all that planning needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from balancebench.component import Component
from balancebench.config import JSON, Options, canonical_json, drawing_options, identity_config
from balancebench.evaluation import Report
from balancebench.step import ComponentReference
from balancebench.suite.schema import AXES, Axis, ValidationTable

__all__ = ["BoundComponent", "BoundSuite", "PublishedNumbers", "SeedTriple", "Selection"]


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
    component: Component[Any, Any]
    options: Options
    base: BoundComponent | None = None

    @property
    def qualified_name(self) -> str:
        """`distribution:name`."""
        return f"{self.distribution}:{self.component.name}"

    @cached_property
    def reference(self) -> ComponentReference:
        """What steps say of it. Raises the component's error where the data it names is not there."""
        options = identity_config(self.options)
        drawing = drawing_options(self.options)
        if self.base is not None:
            del options["base"]
        identity: dict[str, JSON] = {
            "component": self.qualified_name,
            "revision": self.component.revision,
            "options": options,
        }
        if self.base is not None:
            identity["base"] = json.loads(self.base.reference.identity)
        if self.component.identity is not None:
            identity["data"] = self.component.identity(self.options)
        of_generator = {**identity, "options": {name: options[name] for name in options if name not in drawing}}
        return ComponentReference(
            component=self.qualified_name,
            options=self.options.model_dump(mode="json"),
            identity=canonical_json(identity),
            generator_identity=canonical_json(of_generator),
            base=None if self.base is None else self.base.reference,
        )

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


class PublishedNumbers(BaseModel):
    """A paper's numbers (metric label -> value) for the rows whose labels are listed; an axis of None matches all.

    protocol: how the paper's protocol differs from the suite's; "" where it does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    labels: dict[Axis, tuple[str, ...] | None]
    report: Report = "last"
    ceiling: bool = False
    values: dict[str, float]
    source: str
    protocol: str = ""

    def matches(self, labels: Mapping[Axis, str], *, ceiling: bool) -> bool:
        """Say whether the numbers are of the row with these labels; a ceiling's balancer is "none"."""
        return ceiling == self.ceiling and all(
            allowed is None or labels[axis] in allowed for axis, allowed in self.labels.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundSuite:
    """A suite ready for planning; every mistake in its file has been reported before this exists.

    profile: the name that results carry where values were replaced. file_profile: the profile of the file behind it;
    changes: what the command line replaced. overrides: all that was replaced.
    """

    name: str
    title: str
    description: str
    path: Path
    profile: str | None
    file_profile: str | None
    changes: Mapping[str, JSON]
    overrides: Mapping[str, JSON]
    metrics: tuple[BoundComponent, ...]
    reports: tuple[Report, ...]
    seeds: tuple[SeedTriple, ...]
    precision: str
    deterministic: bool
    threads: int
    jobs_per_gpu: int
    keep_weights: bool
    validation: ValidationTable | None
    floor: bool
    ceiling: bool
    axes: Mapping[Axis, tuple[BoundComponent, ...]]
    no_balancer: BoundComponent
    no_imbalance: BoundComponent
    exclude: tuple[Selection, ...]
    include: tuple[Selection, ...]
    published: tuple[PublishedNumbers, ...]
