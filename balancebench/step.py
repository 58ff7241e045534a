"""A step: a piece of work with a key, as it is planned, sent to a worker and recorded.

The key is the SHA-256 of the canonical JSON of the step's identity, which holds everything that decides the outcome and
nothing else: not its label, nor folders, nor the order or the name of the suite.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import Any, TypeAlias, TypeVar

from balancebench.config import JSON, canonical_json
from balancebench.stage import STAGES, Stage

__all__ = [
    "BalancerInputs",
    "BalancingInputs",
    "ComponentReference",
    "MeasureInputs",
    "NoInputs",
    "ScoreInputs",
    "Step",
    "StepInputs",
    "SubsetInputs",
    "identity_of",
    "input_keys",
    "inputs_json",
    "metric_key",
    "own_identity_of",
    "record_fields",
    "step_from_json",
    "step_key",
    "step_to_json",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentReference:
    """A component with its options: what a worker needs to build it, and what of that decides the outcome.

    component: "distribution:name". options: all of them, folders included. identity: canonical JSON of the component,
    its revision, its options with defaults filled in and its base; generator_identity: the same without the options
    that only say how many images a generator draws, or which.
    """

    component: str
    options: Mapping[str, JSON]
    identity: str
    generator_identity: str
    base: ComponentReference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoInputs:
    """A data set is loaded from nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetInputs:
    """Keys of what the choice of training images reads."""

    dataset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureInputs:
    """Keys of what metrics of a training subset read."""

    dataset: str
    subset: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerInputs:
    """Keys of what a balancer has made so far, None where it makes no such thing, and the same of the one it wraps."""

    generator: str | None = None
    synthesis: str | None = None
    base: BalancerInputs | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancingInputs:
    """Keys of what a generator's training, a synthesis and a classifier's training read."""

    dataset: str
    subset: str
    balancer: BalancerInputs


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreInputs:
    """Keys of what metrics of a cell read; extractor: the training of the suite's classifier on all images."""

    dataset: str
    subset: str
    balancer: BalancerInputs
    training: str
    extractor: str | None = None


StepInputs: TypeAlias = NoInputs | SubsetInputs | MeasureInputs | BalancingInputs | ScoreInputs


INPUTS: Mapping[Stage, type[StepInputs]] = {
    "load": NoInputs,
    "imbalance": SubsetInputs,
    "measure": MeasureInputs,
    "train_generator": BalancingInputs,
    "synthesise": BalancingInputs,
    "train": BalancingInputs,
    "score": ScoreInputs,
}
InputsT = TypeVar("InputsT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A piece of work.

    label: for a reader. dataset: the data set's label. components: role -> component; inputs: keys of the steps whose
    results it reads. settings: seeds and arithmetic. metrics: label -> component, of stages that compute some.
    restored: role -> component that is built only to restore what an input left, which says all that decides: the
    "extractor" that metrics look through, the "balancer" whose generator they draw from. keep_weights: whether a
    training keeps its network; that changes no number. requires: what it cannot run without. own_identity: the
    canonical JSON of its identity but for the keys of its inputs, one text for all steps that have it so.
    """

    key: str
    stage: Stage
    label: str
    dataset: str
    components: Mapping[str, ComponentReference]
    inputs: StepInputs
    settings: Mapping[str, JSON]
    metrics: Mapping[str, ComponentReference]
    restored: Mapping[str, ComponentReference]
    keep_weights: bool
    requires: frozenset[str]
    profile: str | None
    own_identity: str

    @property
    def threads(self) -> int:
        """The CPU threads that it computes with: the suite's where that may change the outcome, else one."""
        threads = self.settings.get("threads", 1)
        assert isinstance(threads, int)  # noqa: S101 - the plan's
        return threads


def own_identity_of(
    stage: Stage,
    components: Mapping[str, ComponentReference],
    settings: Mapping[str, JSON],
    metrics: Mapping[str, ComponentReference],
    profile: str | None,
) -> str:
    """Return the canonical JSON of everything that decides a step's outcome but for the keys of its inputs."""

    def named(references: Mapping[str, ComponentReference], *, generator: bool = False) -> str:
        parts = (
            f"{json.dumps(name)}:{reference.generator_identity if generator else reference.identity}"
            for name, reference in sorted(references.items())
        )
        return f"{{{','.join(parts)}}}"

    shown_profile = profile if STAGES[stage].carries_profile else None
    # Metrics have no names here: a label decides nothing.
    identities = sorted({reference.identity for reference in metrics.values()})
    return (
        f'{{"components":{named(components, generator=stage == "train_generator")},"metrics":[{",".join(identities)}],'
        f'"profile":{json.dumps(shown_profile)},"settings":{canonical_json(settings)},"stage":"{stage}"}}'
    )


def identity_of(own_identity: str, inputs: StepInputs) -> str:
    """Return the canonical JSON of everything that decides a step's outcome."""
    return f'{{"inputs":{_inputs_text(inputs)},"own":{own_identity}}}'


def _inputs_text(inputs: StepInputs | BalancerInputs) -> str:
    # What canonical_json(inputs_json(inputs)) is, in a fifth of the time: planning 100,000 cells needs 300,000 of them.
    parts: list[str] = []
    for name in sorted(_names(type(inputs))):
        value = getattr(inputs, name)
        if isinstance(value, str):
            parts.append(f'"{name}":"{value}"')
        elif value is not None:
            parts.append(f'"{name}":{_inputs_text(value)}')
    return f"{{{','.join(parts)}}}"


@cache
def _names(kind: type[StepInputs | BalancerInputs]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def step_key(identity: str) -> str:
    """Return the SHA-256, in hexadecimal, of an identity's canonical JSON."""
    return hashlib.sha256(identity.encode()).hexdigest()


def metric_key(reference: ComponentReference) -> str:
    """Return what a metric's values are kept by, whatever its label: 16 digits of its identity's SHA-256."""
    return step_key(reference.identity)[:16]


def input_keys(inputs: StepInputs | BalancerInputs) -> Iterator[str]:
    """Yield the keys of all steps that are read."""
    for name in _names(type(inputs)):
        value = getattr(inputs, name)
        if isinstance(value, str):
            yield value
        elif value is not None:
            yield from input_keys(value)


def inputs_json(inputs: StepInputs | BalancerInputs) -> dict[str, JSON]:
    """Return the keys of inputs by role, as JSON; what is not there is left out."""
    values = {field.name: getattr(inputs, field.name) for field in fields(inputs)}
    return {
        name: inputs_json(value) if isinstance(value, BalancerInputs) else value
        for name, value in values.items()
        if value is not None
    }


def record_fields(step: Step) -> dict[str, JSON]:
    """Return what every record says of its step."""
    return {
        "key": step.key,
        "stage": step.stage,
        "label": step.label,
        "identity": json.loads(step.own_identity),
        "inputs": inputs_json(step.inputs),
        "profile": step.profile,
    }


def step_to_json(step: Step) -> bytes:
    """Return a step as it is sent to a worker."""
    return json.dumps(
        {
            "key": step.key,
            "stage": step.stage,
            "label": step.label,
            "dataset": step.dataset,
            "components": {role: asdict(reference) for role, reference in step.components.items()},
            "inputs": inputs_json(step.inputs),
            "settings": step.settings,
            "metrics": {label: asdict(reference) for label, reference in step.metrics.items()},
            "restored": {role: asdict(reference) for role, reference in step.restored.items()},
            "keep_weights": step.keep_weights,
            "requires": sorted(step.requires),
            "profile": step.profile,
            "own_identity": step.own_identity,
        },
        allow_nan=False,
    ).encode()


def step_from_json(content: bytes) -> Step:
    """Return the step that `step_to_json` wrote."""
    values: dict[str, Any] = json.loads(content)
    references: dict[str, Any] = {
        name: {role: _reference(reference) for role, reference in values[name].items()}
        for name in ("components", "metrics", "restored")
    }
    inputs = _inputs(INPUTS[values["stage"]], values["inputs"])
    merged: dict[str, Any] = {**values, **references, "inputs": inputs, "requires": frozenset(values["requires"])}
    return Step(**merged)


def _reference(values: dict[str, Any]) -> ComponentReference:
    base = values["base"]
    merged: dict[str, Any] = {**values, "base": None if base is None else _reference(base)}
    return ComponentReference(**merged)


def _inputs(kind: type[InputsT], values: dict[str, Any]) -> InputsT:
    parsed = {
        name: _inputs(BalancerInputs, value) if isinstance(value, dict) else value for name, value in values.items()
    }
    return kind(**parsed)
