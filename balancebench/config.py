"""The base of every options model, and the reference by which one component's options name another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict

__all__ = [
    "JSON",
    "BalancerReference",
    "Compilation",
    "Options",
    "canonical_json",
    "drawing_options",
    "identity_config",
]

JSON = Any
"""A value that JSON can hold: None, bool, int, float, str, list or dict of such."""

Compilation = Literal["auto", "always", "never"]
"""Whether networks are trained through torch.compile: where it pays, in any case, or not at all."""


class Options(BaseModel):
    """Base of every options model: unknown keys are errors, values cannot change after validation.

    Give each field a `Field(description=...)`; the description is what `balancebench show` prints. A field
    that says where data lies rather than what it is (a root folder, a download switch) carries
    `json_schema_extra={"identity": False}` and stays out of the step's key. A field that says how many images are drawn
    from a trained generator, or which, carries `json_schema_extra={"trains": False}` and stays out of the key of its
    training.
    """

    # Built at first use: `list` names many and uses none.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True)


class BalancerReference(BaseModel):
    """A balancer named inside another balancer's options: `base = { use = "smote", neighbours = 3 }`.

    The harness binds the named balancer, plans its synthesis as a step of its own, and hands it over
    as `context.base`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    use: str

    @property
    def options(self) -> dict[str, JSON]:
        """The options given beside `use`."""
        return dict(self.model_extra or {})


def identity_config(options: Options) -> dict[str, JSON]:
    """Return the options that decide what a step computes, defaults filled in, as JSON values."""
    return options.model_dump(mode="json", include=set(_marked(options, "identity", default=True)))


def drawing_options(options: Options) -> frozenset[str]:
    """Return the names of options that decide nothing of how a generator is trained, only what is drawn from it.

    Their fields carry `json_schema_extra={"trains": False}`.
    """
    return frozenset(type(options).model_fields) - frozenset(_marked(options, "trains", default=True))


def _marked(options: Options, mark: str, *, default: bool) -> Iterator[str]:
    """Yield the names of the fields whose `json_schema_extra` says true under `mark`."""
    for name, field in type(options).model_fields.items():
        if cast("dict[str, JSON]", field.json_schema_extra or {}).get(mark, default):
            yield name


def canonical_json(value: JSON) -> str:
    """Return JSON of which equal values have one form: keys sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
