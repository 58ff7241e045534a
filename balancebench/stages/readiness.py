"""Asks the components of the steps that are to run whether what they need from outside is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from balancebench.component import Component, Kind
from balancebench.config import JSON, Options
from balancebench.errors import BalancebenchError
from balancebench.plan import Stage, Step
from balancebench.registry import Registry

__all__ = ["check_ready"]

KIND_OF_STAGE: Mapping[Stage, Kind] = {
    "load": "dataset",
    "imbalance": "imbalancer",
    "synthesise": "balancer",
    "train": "balancer",
}


def check_ready(steps: Iterable[Step], registry: Registry) -> None:
    """Raise one BalancebenchError with everything that is not ready, each with its component's name."""
    problems: dict[str, None] = {}  # in the order of the steps, each once
    for kind, component, options in _asked(steps, registry):
        if component.ready is None:
            continue
        try:
            component.ready(options)
        except BalancebenchError as error:
            problems[f"{kind} {component.name}: {error}"] = None
    if problems:
        counted = "1 component is" if len(problems) == 1 else f"{len(problems)} components are"
        raise BalancebenchError(
            "\n".join([f"nothing was run: {counted} not ready", *(f"  {text}" for text in problems)])
        )


def _asked(steps: Iterable[Step], registry: Registry) -> Iterator[tuple[Kind, Component[Any], Options]]:
    for step in steps:
        for role, reference in step.work.get("components", {}).items():
            kind: Kind = "classifier" if role == "classifier" else KIND_OF_STAGE[step.stage]
            for component, options in _with_bases(kind, reference, registry):
                # A balancer that makes images needs its means where it makes them, which is a step of its own.
                if step.stage == "train" and getattr(component, "synthesises", False):
                    continue
                yield kind, component, options
                if step.stage == "synthesise":
                    break
        for reference in step.work.get("metrics", {}).values():
            for component, options in _with_bases("metric", reference, registry):
                yield "metric", component, options


def _with_bases(
    kind: Kind, reference: Mapping[str, JSON] | None, registry: Registry
) -> Iterator[tuple[Component[Any], Options]]:
    """Yield a component with its options, then the one it wraps, and so on."""
    while reference is not None:
        component = registry.find(kind, reference["component"]).component
        yield component, component.options.model_validate(reference["options"])
        reference = reference.get("base")
