"""Asks the components of the steps that are to run whether what they need from outside is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from balancebench.component import Component, Kind
from balancebench.config import Options
from balancebench.contained import contained
from balancebench.errors import BalancebenchError
from balancebench.plain_text import visible
from balancebench.registry import Registry
from balancebench.stage import STAGES
from balancebench.step import ComponentReference, Step

__all__ = ["check_ready"]


def check_ready(steps: Iterable[Step], registry: Registry) -> None:
    """Raise one BalancebenchError with everything that is not ready, each with its component's name."""
    problems: dict[str, None] = {}  # in the order of the steps, each once
    for kind, component, options in _built_components(steps, registry):
        if component.ready is None:
            continue
        try:
            with contained():
                component.ready(options)
        except BalancebenchError as error:
            problems[f"{kind} {component.name}: {error}"] = None
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way
            problems[f"{kind} {component.name}: {visible(f'{type(error).__name__}: {error}')}"] = None
    if problems:
        counted = "1 component is" if len(problems) == 1 else f"{len(problems)} components are"
        raise BalancebenchError(
            "\n".join([f"nothing was run: {counted} not ready", *(f"  {text}" for text in problems)])
        )


def _built_components(steps: Iterable[Step], registry: Registry) -> Iterator[tuple[Kind, Component[Any, Any], Options]]:
    """Yield each component that a step builds, with its options, once: many steps have theirs in common."""
    visited: set[tuple[Kind, int]] = set()
    for step in steps:
        for kind, reference in _built_in(step):
            if (kind, id(reference)) not in visited:
                visited.add((kind, id(reference)))
                component = registry.find(kind, reference.component).component
                # A balancer that makes images needs its means where it makes them, which is a step of its own.
                if step.stage != "train" or not getattr(component, "synthesises", False):
                    yield kind, component, component.options.model_validate(reference.options)


def _built_in(step: Step) -> Iterator[tuple[Kind, ComponentReference]]:
    for role, reference in step.components.items():
        kind = STAGES[step.stage].kind
        if role == "classifier" or kind is None:
            yield "classifier", reference
            continue
        yield kind, reference
        base = reference.base if step.stage == "train" else None
        while base is not None:
            yield kind, base
            base = base.base
    for reference in step.metrics.values():
        yield "metric", reference
