"""Asks the components of the steps that are to run whether what they need from outside is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from balancebench.component import Component, Kind
from balancebench.config import Options
from balancebench.contained import contained
from balancebench.errors import BalancebenchError
from balancebench.execution.devices import slot_devices
from balancebench.plain_text import visible
from balancebench.plan import Plan
from balancebench.registry import Registry
from balancebench.stage import STAGES
from balancebench.step import ComponentReference, Step
from balancebench.suite.schema import AXES

__all__ = ["check_names", "check_ready", "slow_here"]


def check_ready(steps: Iterable[Step], registry: Registry) -> None:
    """Raise one BalancebenchError with everything that is not ready, each with its component's name."""
    problems: dict[str, None] = {}  # in the order of the steps, each once
    for kind, component, options in _built_components(steps, registry):
        try:
            with contained():
                component.run_check(options)
                if component.ready is not None:
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


def slow_here(plan: Plan, to_run: Iterable[Step], device: str = "auto") -> list[str]:
    """Return a warning for each component of the steps to run whose options are made for a GPU, where there is none."""
    waiting = {reference.identity for step in to_run for reference in step.components.values()}
    entries = [entry for axis in AXES for entry in plan.suite.axes[axis] if entry.reference.identity in waiting]
    reasons = {entry.label: why for entry in entries if (why := entry.component.slow_on_cpu(entry.options)) is not None}
    if not reasons or slot_devices(device, 1)[0] != "cpu":
        return []
    return [f"{label} is made for a GPU, and there is none here: {why}" for label, why in reasons.items()]


def check_names(plan: Plan) -> None:
    """Raise one BalancebenchError with every option of a plan that names what no library has."""
    suite = plan.suite
    problems: dict[str, None] = {}
    for entry in (*(entry for entries in suite.axes.values() for entry in entries), *suite.metrics):
        try:
            with contained():
                entry.component.run_check(entry.options)
        except BalancebenchError as error:
            problems[f"{entry.label}: {error}"] = None
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way
            problems[f"{entry.label}: {visible(f'{type(error).__name__}: {error}')}"] = None
    if problems:
        raise BalancebenchError("\n  ".join([f"{suite.path}: what is named is not there", *problems]))


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
