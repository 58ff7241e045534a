"""Expands a bound suite into a plan: the cells of the matrix, and the steps they share. Pure; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from balancebench.component import BalancerComponent, MetricComponent
from balancebench.config import JSON, canonical_json
from balancebench.matrix import CellRole, Task, matrix_points
from balancebench.stage import STAGES, Stage
from balancebench.step import (
    BalancerInputs,
    BalancingInputs,
    ComponentReference,
    MeasureInputs,
    NoInputs,
    ScoreInputs,
    Step,
    StepInputs,
    SubsetInputs,
    identity_of,
    input_keys,
    own_identity_of,
    step_key,
)
from balancebench.suite.bound import BoundComponent, BoundSuite, SeedTriple
from balancebench.suite.schema import Axis

__all__ = ["CEILING_LABEL", "Cell", "CellRole", "Plan", "Task", "expand"]

CEILING_LABEL = "no imbalance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the matrix.

    steps: the keys of its stages; a balancer that trains no generator or makes no images has no such key.
    """

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
        for input_key in input_keys(self.steps[key].inputs):
            yield self.steps[input_key]
            yield from self.ancestors(input_key)


def expand(suite: BoundSuite) -> Plan:
    """Return the plan of a suite: the matrix, less its excludes, plus its includes, floors and ceilings."""
    plan = Plan(suite=suite)
    planner = _Planner(plan)
    for task, entries, role in matrix_points(suite):
        for seeds in suite.seeds:
            planner.add_cell(task, entries, seeds, role)
    return plan


def _needs_extractor(metric: BoundComponent) -> bool:
    component = metric.component
    return isinstance(component, MetricComponent) and component.needs_extractor(metric.options)


def _trains_generator(balancer: BoundComponent) -> bool:
    component = balancer.component
    return isinstance(component, BalancerComponent) and component.trains_generator


def _of_subset(metric: BoundComponent) -> bool:
    component = metric.component
    return isinstance(component, MetricComponent) and component.of == "subset"


class _Planner:
    """Adds cells to a plan, making each step once. What many steps have in common they share: plans grow large."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._suite = suite = plan.suite
        self._needs_extractor = any(_needs_extractor(metric) for metric in suite.metrics)
        self._cell_metrics = {metric.label: metric.reference for metric in suite.metrics if not _of_subset(metric)}
        self._subset_metrics = {metric.label: metric.reference for metric in suite.metrics if _of_subset(metric)}
        self._score_settings: dict[str, JSON] = {"reports": list(suite.reports), "threads": suite.threads}
        self._measure_settings: dict[str, JSON] = {"threads": suite.threads}
        self._no_metrics: dict[str, ComponentReference] = {}
        self._settings: dict[str, dict[str, JSON]] = {}
        self._train_settings: dict[tuple[int | None, int], dict[str, JSON]] = {}
        self._components: dict[tuple[tuple[str, int], ...], dict[str, ComponentReference]] = {}
        self._own_identities: dict[tuple[Stage | int, ...], tuple[str, tuple[object, ...]]] = {}
        self._loads: dict[int, Step] = {}
        self._subsets: dict[tuple[int, str, int], Step] = {}

    def add_cell(self, task: Task, entries: Mapping[Axis, BoundComponent], seeds: SeedTriple, role: CellRole) -> None:
        suite = self._suite
        dataset, balancer, classifier = (entries[axis] for axis in ("dataset", "balancer", "classifier"))
        imbalancer = suite.no_imbalance if role == "ceiling" else entries["imbalancer"]
        load = self._load(dataset)
        subset = self._imbalance(imbalancer, load, seeds)
        balancer_inputs = self._make(balancer, classifier, load, subset, seeds)
        name = CEILING_LABEL if role == "ceiling" else balancer.label
        label = f"{task.dataset} / {task.imbalancer} / {name} / {task.classifier} / seed {seeds}"
        train = self._train(
            balancer,
            classifier,
            BalancingInputs(dataset=load.key, subset=subset.key, balancer=balancer_inputs),
            seeds,
            label,
        )
        extractor = self._extractor(task, classifier, load, seeds) if self._needs_extractor else None
        restored = {"balancer": balancer} if balancer_inputs.generator or balancer_inputs.base else {}
        restored |= {"extractor": classifier} if extractor is not None else {}
        score = self._score(train, load, subset, balancer_inputs, extractor, restored)
        steps: dict[Stage, str] = {"load": load.key, "imbalance": subset.key}
        if self._subset_metrics and role != "ceiling":
            steps["measure"] = self._measure(load, subset).key
        if balancer_inputs.generator is not None:
            steps["train_generator"] = balancer_inputs.generator
        if balancer_inputs.synthesis is not None:
            steps["synthesise"] = balancer_inputs.synthesis
        steps |= {"train": train.key, "score": score.key}
        self._plan.cells.append(Cell(task=task, balancer=name, seeds=seeds, role=role, steps=steps))

    def _load(self, dataset: BoundComponent) -> Step:
        if id(dataset) not in self._loads:
            self._loads[id(dataset)] = self._step(
                "load", dataset.label, dataset.label, NoInputs(), {"component": dataset}, {}
            )
        return self._loads[id(dataset)]

    def _imbalance(self, imbalancer: BoundComponent, load: Step, seeds: SeedTriple) -> Step:
        choice = id(imbalancer), load.key, seeds.subset
        if choice not in self._subsets:
            self._subsets[choice] = self._new_imbalance(imbalancer, load, seeds)
        return self._subsets[choice]

    def _new_imbalance(self, imbalancer: BoundComponent, load: Step, seeds: SeedTriple) -> Step:
        validation = self._suite.validation
        carved = None if validation is None else validation.model_dump(mode="json")
        seeded = imbalancer.component.seeded or carved is not None
        label = f"{load.label} / {imbalancer.label}"
        return self._step(
            "imbalance",
            f"{label} / seed {seeds.subset}" if seeded else label,
            load.dataset,
            SubsetInputs(dataset=load.key),
            {"component": imbalancer},
            {"seed": seeds.subset if seeded else None, "validation": carved},
        )

    def _measure(self, load: Step, subset: Step) -> Step:
        inputs = MeasureInputs(dataset=load.key, subset=subset.key)
        return self._step(
            "measure", subset.label, load.dataset, inputs, {}, self._measure_settings, metrics=self._subset_metrics
        )

    def _make(
        self,
        balancer: BoundComponent,
        classifier: BoundComponent,
        load: Step,
        subset: Step,
        seeds: SeedTriple,
        *,
        synthesises: bool = True,
    ) -> BalancerInputs:
        """Add the steps in which a balancer, and what it wraps, train generators and make images; return their keys.

        synthesises: whether its images are wanted, where it makes some.
        """
        component = balancer.component
        assert isinstance(component, BalancerComponent)  # noqa: S101 - the registry has checked it
        base = None
        if balancer.base is not None:
            draws = component.draws_from_base and _trains_generator(balancer.base)
            base = self._make(balancer.base, classifier, load, subset, seeds, synthesises=not draws)
        balancer_inputs = BalancerInputs(base=base)
        if not component.trains_generator and not component.synthesises:
            return balancer_inputs
        settings = {"seed": seeds.generator if component.seeded else None, **self._arithmetic()}
        components = {"component": balancer}
        if "classifier" in component.requires:
            components["classifier"] = classifier
            settings["classifier_seed"] = seeds.classifier
        settings = self._settings.setdefault(canonical_json(settings), settings)
        label = f"{subset.label} / {balancer.label}"

        def add(stage: Stage, balancer_inputs: BalancerInputs) -> str:
            inputs = BalancingInputs(dataset=load.key, subset=subset.key, balancer=balancer_inputs)
            return self._step(stage, label, load.dataset, inputs, components, settings).key

        if component.trains_generator:
            balancer_inputs = BalancerInputs(generator=add("train_generator", balancer_inputs), base=base)
        if component.synthesises and synthesises:
            balancer_inputs = BalancerInputs(
                generator=balancer_inputs.generator, synthesis=add("synthesise", balancer_inputs), base=base
            )
        return balancer_inputs

    def _train(
        self,
        balancer: BoundComponent,
        classifier: BoundComponent,
        inputs: BalancingInputs,
        seeds: SeedTriple,
        label: str,
    ) -> Step:
        generator_seed = seeds.generator if balancer.component.seeded or balancer.base is not None else None
        used_seeds = generator_seed, seeds.classifier
        if used_seeds not in self._train_settings:
            self._train_settings[used_seeds] = {
                "generator_seed": generator_seed,
                "classifier_seed": seeds.classifier,
                "track": [report.removeprefix("best_") for report in sorted(self._suite.reports) if report != "last"],
                **self._arithmetic(),
            }
        subset = self._plan.steps[inputs.subset]
        # What is trained on all images can serve metrics as their extractor. Its weights change no number: no identity.
        of_all_images = subset.components["component"].identity == self._suite.no_imbalance.reference.identity
        plain = balancer.reference.identity == self._suite.no_balancer.reference.identity
        return self._step(
            "train",
            label,
            subset.dataset,
            inputs,
            {"component": balancer, "classifier": classifier},
            self._train_settings[used_seeds],
            keep_weights=self._suite.keep_weights or (of_all_images and plain),
        )

    def _extractor(self, task: Task, classifier: BoundComponent, load: Step, seeds: SeedTriple) -> Step:
        """Return the training of the task's ceiling, which metrics of images look through."""
        suite = self._suite
        subset = self._imbalance(suite.no_imbalance, load, seeds)
        label = f"{task.dataset} / {task.imbalancer} / {CEILING_LABEL} / {task.classifier} / seed {seeds}"
        inputs = BalancingInputs(dataset=load.key, subset=subset.key, balancer=BalancerInputs())
        return self._train(suite.no_balancer, classifier, inputs, seeds, label)

    def _score(
        self,
        train: Step,
        load: Step,
        subset: Step,
        balancer_inputs: BalancerInputs,
        extractor: Step | None,
        restored: Mapping[str, BoundComponent],
    ) -> Step:
        inputs = ScoreInputs(
            dataset=load.key,
            subset=subset.key,
            balancer=balancer_inputs,
            training=train.key,
            extractor=None if extractor is None else extractor.key,
        )
        return self._step(
            "score",
            train.label,
            load.dataset,
            inputs,
            {},
            self._score_settings,
            metrics=self._cell_metrics,
            restored=restored,
        )

    def _arithmetic(self) -> dict[str, JSON]:
        return {
            "precision": self._suite.precision,
            "deterministic": self._suite.deterministic,
            "threads": self._suite.threads,
        }

    def _step(
        self,
        stage: Stage,
        label: str,
        dataset: str,
        inputs: StepInputs,
        components: Mapping[str, BoundComponent],
        settings: dict[str, JSON],
        *,
        metrics: Mapping[str, ComponentReference] | None = None,
        restored: Mapping[str, BoundComponent] | None = None,
        keep_weights: bool = False,
    ) -> Step:
        references = self._references(components)
        metrics = self._no_metrics if metrics is None else metrics
        own_identity = self._own_identity(stage, references, settings, metrics)
        key = step_key(identity_of(own_identity, inputs))
        if key not in self._plan.steps:
            requires = frozenset[str]().union(*(component.component.requires for component in components.values()))
            self._plan.steps[key] = Step(
                key=key,
                stage=stage,
                label=label,
                dataset=dataset,
                components=references,
                inputs=inputs,
                settings=settings,
                metrics=metrics,
                restored=self._references(restored or {}),
                keep_weights=keep_weights,
                requires=requires - {"classifier"},
                profile=self._suite.profile if STAGES[stage].carries_profile else None,
                own_identity=own_identity,
            )
        return self._plan.steps[key]

    def _own_identity(
        self,
        stage: Stage,
        components: Mapping[str, ComponentReference],
        settings: dict[str, JSON],
        metrics: Mapping[str, ComponentReference],
    ) -> str:
        # By the objects themselves, which are kept so that no other object can ever have their ids.
        parts = components, settings, metrics
        ids = stage, *map(id, parts)
        if ids not in self._own_identities:
            self._own_identities[ids] = own_identity_of(stage, *parts, self._suite.profile), parts
        return self._own_identities[ids][0]

    def _references(self, components: Mapping[str, BoundComponent]) -> dict[str, ComponentReference]:
        identities = tuple((role, id(component)) for role, component in components.items())
        if identities not in self._components:
            self._components[identities] = {role: component.reference for role, component in components.items()}
        return self._components[identities]
