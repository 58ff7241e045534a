"""Expands a bound suite into a plan: the cells of the matrix, and the steps they share. Pure; imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from balancebench.component import MetricComponent
from balancebench.config import JSON
from balancebench.suite.bound import BoundComponent, BoundSuite, SeedTriple
from balancebench.suite.schema import AXES, Axis

__all__ = ["STAGES", "Cell", "CellRole", "Plan", "Stage", "Step", "Task", "expand", "step_key"]

Stage = Literal["load", "imbalance", "synthesise", "train", "score"]
STAGES: tuple[Stage, ...] = ("load", "imbalance", "synthesise", "train", "score")
CellRole = Literal["floor", "entry", "ceiling"]
CEILING_LABEL = "no imbalance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A piece of work.

    key: SHA-256 of the canonical JSON of `identity`, which holds everything that decides the outcome and nothing
    else. inputs: role -> key of the step it reads. work: what a worker needs besides: component references with
    paths. requires: what the step cannot run without.
    """

    key: str
    stage: Stage
    label: str
    identity: Mapping[str, JSON]
    inputs: Mapping[str, str]
    work: Mapping[str, JSON]
    requires: frozenset[str]
    profile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What balancers compete on: a dataset, an imbalancer and a classifier, by label."""

    dataset: str
    imbalancer: str
    classifier: str

    def __str__(self) -> str:
        return f"{self.dataset} / {self.imbalancer} / {self.classifier}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the matrix. `steps` are the keys of its stages; a balancer without synthesis has no such key."""

    task: Task
    balancer: str
    seeds: SeedTriple
    role: CellRole
    steps: Mapping[Stage, str]


@dataclass(slots=True, kw_only=True)
class Plan:
    """The steps of a suite, each after its inputs, and the cells that need them."""

    suite: BoundSuite
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    cells: list[Cell] = field(default_factory=list[Cell])

    def ancestors(self, key: str) -> Iterator[Step]:
        """Yield the steps that the step at `key` reads, directly or not."""
        for input_key in self.steps[key].inputs.values():
            yield self.steps[input_key]
            yield from self.ancestors(input_key)


def step_key(identity: Mapping[str, JSON]) -> str:
    """Return the SHA-256, in hexadecimal, of an identity's canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def expand(suite: BoundSuite) -> Plan:
    """Return the plan of a suite: the matrix, less its excludes, plus its includes, floors and ceilings."""
    plan = Plan(suite=suite)
    planner = _Planner(plan)
    for entries, role in _points(suite):
        for seeds in suite.seeds:
            planner.add_cell(entries, seeds, role)
    return plan


def _points(suite: BoundSuite) -> Iterator[tuple[Mapping[Axis, BoundComponent], CellRole]]:
    """Yield the matrix without seeds: for each task its floor, its entries, its ceiling."""
    tasks: dict[Task, list[Mapping[Axis, BoundComponent]]] = {}
    for values in product(*(suite.axes[axis] for axis in AXES)):
        entries = dict(zip(AXES, values, strict=True))
        excluded = any(selection.matches(entries) for selection in suite.exclude)
        if not excluded or any(selection.matches(entries) for selection in suite.include):
            tasks.setdefault(_task(entries), []).append(entries)
    for members in tasks.values():
        floor_is_entry = any(_is_plain(entries["balancer"], suite.no_balancer) for entries in members)
        if suite.floor and not floor_is_entry:
            yield {**members[0], "balancer": suite.no_balancer}, "floor"
        for entries in members:
            yield entries, "floor" if _is_plain(entries["balancer"], suite.no_balancer) else "entry"
        if suite.ceiling:
            yield {**members[0], "balancer": suite.no_balancer}, "ceiling"


def _is_plain(balancer: BoundComponent, no_balancer: BoundComponent) -> bool:
    return balancer.qualified_name == no_balancer.qualified_name


def _needs_extractor(metric: BoundComponent) -> bool:
    component = metric.component
    return isinstance(component, MetricComponent) and component.needs_extractor(metric.options)


def _task(entries: Mapping[Axis, BoundComponent]) -> Task:
    return Task(
        dataset=entries["dataset"].label,
        imbalancer=entries["imbalancer"].label,
        classifier=entries["classifier"].label,
    )


class _Planner:
    """Adds cells to a plan, making each step once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._suite = plan.suite

    def add_cell(self, entries: Mapping[Axis, BoundComponent], seeds: SeedTriple, role: CellRole) -> None:
        suite = self._suite
        dataset, balancer, classifier = (entries[axis] for axis in ("dataset", "balancer", "classifier"))
        imbalancer = suite.no_imbalance if role == "ceiling" else entries["imbalancer"]
        load = self._step("load", dataset.label, {}, {"component": dataset}, {})
        subset = self._imbalance(imbalancer, load, seeds, f"{dataset.label} / {imbalancer.label}")
        synthetic = self._synthesise(balancer, classifier, subset, seeds)
        name = CEILING_LABEL if role == "ceiling" else balancer.label
        label = f"{dataset.label} / {entries['imbalancer'].label} / {name} / {classifier.label} / seed {seeds}"
        train = self._train(balancer, classifier, subset, synthetic, seeds, label)
        extractor = self._extractor(entries, load, seeds)
        score = self._score(train, extractor, classifier, label)
        steps: dict[Stage, str] = {"load": load.key, "imbalance": subset.key, "train": train.key, "score": score.key}
        if "synthetic" in synthetic:
            steps["synthesise"] = synthetic["synthetic"].key
        self._plan.cells.append(Cell(task=_task(entries), balancer=name, seeds=seeds, role=role, steps=steps))

    def _imbalance(self, imbalancer: BoundComponent, load: Step, seeds: SeedTriple, label: str) -> Step:
        validation = self._suite.validation
        carved = None if validation is None else validation.model_dump(mode="json")
        seeded = imbalancer.component.seeded or carved is not None
        settings: dict[str, JSON] = {"seed": seeds.subset if seeded else None, "validation": carved}
        shown = f"{label} / seed {seeds.subset}" if seeded else label
        return self._step("imbalance", shown, {"dataset": load.key}, {"component": imbalancer}, settings)

    def _synthesise(
        self, balancer: BoundComponent, classifier: BoundComponent, subset: Step, seeds: SeedTriple
    ) -> dict[str, Step]:
        """Return role -> step of the balancer ("synthetic") and of those it wraps ("base", "base.base")."""
        steps: dict[str, Step] = {}
        if balancer.base is not None:
            below = self._synthesise(balancer.base, classifier, subset, seeds)
            steps = {"base" if role == "synthetic" else f"base.{role}": step for role, step in below.items()}
        if not getattr(balancer.component, "synthesises", False):
            return steps
        inputs = {"subset": subset.key, **{role: step.key for role, step in steps.items()}}
        components = {"component": balancer}
        seed = seeds.generator if balancer.component.seeded else None
        settings: dict[str, JSON] = {"seed": seed, **self._arithmetic()}
        if "classifier" in balancer.component.requires:
            components["classifier"] = classifier
            settings["classifier_seed"] = seeds.classifier
        label = f"{subset.label} / {balancer.label}"
        steps["synthetic"] = self._step("synthesise", label, inputs, components, settings)
        return steps

    def _train(
        self,
        balancer: BoundComponent,
        classifier: BoundComponent,
        subset: Step,
        synthetic: Mapping[str, Step],
        seeds: SeedTriple,
        label: str,
    ) -> Step:
        inputs = {"subset": subset.key, **{role: step.key for role, step in synthetic.items()}}
        settings: dict[str, JSON] = {
            "generator_seed": seeds.generator if balancer.component.seeded or balancer.base is not None else None,
            "classifier_seed": seeds.classifier,
            "track": [report.removeprefix("best_") for report in sorted(self._suite.reports) if report != "last"],
            **self._arithmetic(),
        }
        components = {"component": balancer, "classifier": classifier}
        # What is trained on all images can serve metrics as their extractor. Its weights change no number: no identity.
        of_all_images = subset.identity["components"]["component"] == self._suite.no_imbalance.identity
        work = {"keep_weights": of_all_images and balancer.identity == self._suite.no_balancer.identity}
        return self._step("train", label, inputs, components, settings, work)

    def _extractor(self, entries: Mapping[Axis, BoundComponent], load: Step, seeds: SeedTriple) -> dict[str, Step]:
        """Return {"extractor": the training of the task's ceiling} where a metric of the suite needs it."""
        suite = self._suite
        if not any(_needs_extractor(metric) for metric in suite.metrics):
            return {}
        dataset, classifier = entries["dataset"], entries["classifier"]
        subset = self._imbalance(suite.no_imbalance, load, seeds, f"{dataset.label} / {suite.no_imbalance.label}")
        label = f"{dataset.label} / {entries['imbalancer'].label} / {CEILING_LABEL} / {classifier.label} / seed {seeds}"
        return {"extractor": self._train(suite.no_balancer, classifier, subset, {}, seeds, label)}

    def _score(self, train: Step, extractor: Mapping[str, Step], classifier: BoundComponent, label: str) -> Step:
        suite = self._suite
        settings: dict[str, JSON] = {
            "metrics": {metric.label: dict(metric.identity) for metric in suite.metrics},
            "reports": list(suite.reports),
        }
        work: dict[str, JSON] = {"metrics": {metric.label: dict(metric.reference) for metric in suite.metrics}}
        if extractor:
            work["extractor"] = dict(classifier.reference)
        inputs = {"train": train.key, **{role: step.key for role, step in extractor.items()}}
        return self._step("score", label, inputs, {}, settings, work)

    def _arithmetic(self) -> dict[str, JSON]:
        return {"precision": self._suite.precision, "deterministic": self._suite.deterministic}

    def _step(
        self,
        stage: Stage,
        label: str,
        inputs: Mapping[str, str],
        components: Mapping[str, BoundComponent],
        settings: Mapping[str, JSON],
        work: Mapping[str, JSON] | None = None,
    ) -> Step:
        # Data and subsets are what they are; what was computed from them carries the profile it was made under.
        profile = self._suite.profile if stage not in ("load", "imbalance") else None
        identity: dict[str, JSON] = {
            "stage": stage,
            "inputs": dict(inputs),
            "components": {role: dict(component.identity) for role, component in components.items()},
            "settings": dict(settings),
            "profile": profile,
        }
        key = step_key(identity)
        if key not in self._plan.steps:
            references = {role: dict(component.reference) for role, component in components.items()}
            requires = frozenset[str]().union(*(component.component.requires for component in components.values()))
            self._plan.steps[key] = Step(
                key=key,
                stage=stage,
                label=label,
                identity=identity,
                inputs=dict(inputs),
                work={"components": references, **(work or {})},
                requires=requires - {"classifier"},
                profile=profile,
            )
        return self._plan.steps[key]
