"""Checks of what a component declares, whatever its kind."""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args
from unittest import SkipTest

from pydantic import ValidationError

from balancebench.component import Component, Kind, Requirement
from balancebench.config import JSON, Options, identity_config
from balancebench.errors import PluginError
from balancebench.registry import COMPONENT_TYPES
from balancebench.testing.subject import Body, build, smoke_options

__all__ = ["DECLARATION_CHECKS", "KIND_CHECKS", "options_or_skip"]

CONTRACT_METHOD: Mapping[Kind, str] = {
    "dataset": "load",
    "imbalancer": "select",
    "balancer": "plan",
    "classifier": "fit",
    "metric": "__call__",
}
"""What the harness calls on whatever a component of a kind builds."""


def says_what_it_is_in_one_line(component: Component[Any, Any]) -> None:
    """Name, summary, citation, revision and requirements are what lists and records show."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", component.name), f"the name {component.name!r} is not lower_snake_case"
    assert component.summary.strip(), "it has no summary; `balancebench list` shows one line"
    for name, text in (("summary", component.summary), ("citation", component.citation)):
        assert len(text.splitlines()) <= 1, f"its {name} has {len(text.splitlines())} lines instead of one"
    assert component.revision >= 1, f"its revision is {component.revision}; revisions count from 1"
    unknown = component.requires - set(get_args(Requirement))
    assert not unknown, f"it requires {sorted(unknown)}; known are {', '.join(get_args(Requirement))}"


def is_declared_as_what_it_is(kind: Kind, component: object) -> None:
    """Balancers and metrics have component classes of their own."""
    expected = COMPONENT_TYPES[kind]
    assert isinstance(component, expected), (
        f"a {kind} is declared as {expected.__name__}, not {type(component).__name__}"
    )


def default_options_are_valid(kind: Kind, component: Component[Any, Any]) -> None:
    """Every option has a valid default, or is required and given by `smoke`."""
    missing = _missing_options(component, {})
    given = set(component.smoke)
    if kind != "dataset":  # a folder or a hub id is what only the user knows
        assert missing <= given, f"{sorted(missing - given)} is required and `smoke` does not give it"


def smoke_options_are_valid(kind: Kind, component: Component[Any, Any]) -> None:
    """The options that make it small are options it has; a dataset may still need its root."""
    missing = _missing_options(component, dict(component.smoke))
    if kind != "dataset":
        assert not missing, f"`smoke` leaves out {sorted(missing)}"


def build_names_what_is_there(kind: Kind, component: Component[Any, Any]) -> None:
    """The path leads to what builds, twice and from options alone, an object with the method of its kind's contract."""
    options_or_skip(component)
    method = CONTRACT_METHOD[kind]
    for _ in range(2):
        try:
            built = build(component)
        except PluginError as error:
            raise AssertionError(str(error)) from error
        assert callable(getattr(built, method, None)), f"it builds {type(built).__name__}, which has no {method}"


def describes_every_option(component: Component[Any, Any]) -> None:
    """Each option says in a clause what it does, those of nested tables too."""
    for path, description in _descriptions(component.options):
        assert (description or "").strip(), f"option {path!r} has no description; give it Field(description=...)"


def refuses_unknown_options(component: Component[Any, Any]) -> None:
    """A misspelt key in a suite is an error, and validated options do not change."""
    config = component.options.model_config
    assert config.get("extra") == "forbid", (
        "its options ignore unknown keys; leave `extra` as balancebench.Options has it"
    )
    assert config.get("frozen"), (
        "its options can change after validation; leave `frozen` as balancebench.Options has it"
    )


def options_survive_json(component: Component[Any, Any]) -> None:
    """Options travel to workers and into keys as JSON, and come back equal."""
    options = options_or_skip(component)
    as_json = json.loads(json.dumps(options.model_dump(mode="json"), allow_nan=False))
    again = component.options.model_validate(as_json)
    assert again == options, f"the options come back from JSON as {again!r}, not {options!r}"
    assert identity_config(again) == identity_config(options), "the identity of the options changes through JSON"
    assert component.options.model_validate_json(options.model_dump_json()) == options, (
        "model_dump_json loses something"
    )


def says_what_outside_data_it_brings(component: Component[Any, Any]) -> None:
    """`outside_data` is a pure function of the options: one line, or None."""
    options = options_or_skip(component)
    outside = component.outside_data(options)
    assert outside == component.outside_data(options), "outside_data says something else the second time"
    if outside is not None:
        assert outside.strip() and len(outside.splitlines()) == 1, f"outside_data is {outside!r}; give one line or None"  # noqa: PT018


def _missing_options(component: Component[Any, Any], given: dict[str, JSON]) -> set[str]:
    """Return the required options that `given` lacks; fail for any other mistake in it or in the defaults."""
    try:
        component.options.model_validate(given)
    except ValidationError as error:
        wrong = [
            f"{_dotted(detail['loc'])}: {detail['msg']}" for detail in error.errors() if detail["type"] != "missing"
        ]
        assert not wrong, f"the options {given} are refused: {'; '.join(wrong)}"
        return {_dotted(detail["loc"]) for detail in error.errors()}
    return set()


def options_or_skip(component: Component[Any, Any]) -> Options:
    """Return the smoke options of a component; skip a dataset whose root only the user knows."""
    if missing := _missing_options(component, dict(component.smoke)):
        raise SkipTest(f"it needs a user's {', '.join(sorted(missing))}")
    return smoke_options(component)


def _dotted(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))


def _descriptions(model: type[Options], path: str = "") -> Iterator[tuple[str, str | None]]:
    """Yield every option's dotted name and description, through options nested in options."""
    for name, field in model.model_fields.items():
        yield f"{path}{name}", field.description
        for nested in _options_within(field.annotation):
            yield from _descriptions(nested, f"{path}{name}.")


def _options_within(annotation: Any) -> Iterator[type[Options]]:
    if isinstance(annotation, type) and issubclass(annotation, Options):
        yield annotation
    for argument in get_args(annotation):
        yield from _options_within(argument)


KIND_CHECKS: tuple[Callable[[Kind, Component[Any, Any]], None], ...] = (
    is_declared_as_what_it_is,
    default_options_are_valid,
    smoke_options_are_valid,
    build_names_what_is_there,
)
"""body(kind, component): checks of every component that must know what it was declared as."""

DECLARATION_CHECKS: tuple[Body, ...] = (
    says_what_it_is_in_one_line,
    describes_every_option,
    refuses_unknown_options,
    options_survive_json,
    says_what_outside_data_it_brings,
)
