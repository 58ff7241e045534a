"""Reads a suite file and binds its components; every mistake in it is found before the first one is reported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import product
from pathlib import Path as FilePath
from typing import Any, cast

import tomli
from pydantic import BaseModel, ValidationError

from balancebench.component import Kind
from balancebench.config import JSON, BalancerReference, Options
from balancebench.errors import BalancebenchError, Mistake, PluginError, SuiteError, nearest
from balancebench.folders import data_root
from balancebench.registry import Registry
from balancebench.suite.bound import BoundComponent, BoundSuite, PublishedNumbers, SeedTriple, Selection
from balancebench.suite.locate import line_numbers
from balancebench.suite.mistakes import Mistakes, Path
from balancebench.suite.profiles import apply_profile
from balancebench.suite.schema import AXES, Axis, ComponentTable, PublishedTable, RunTable, SelectionTable, SuiteFile
from balancebench.suite.shipped import SHIPPED, is_bare_name, suite_file

__all__ = ["bind_balancer", "bind_suite"]

DATA_ROOT = "$BALANCEBENCH_DATA"
Bound = dict[Axis, tuple[BoundComponent, ...]]


def bind_suite(path: FilePath, registry: Registry, profile: str | None = None) -> BoundSuite:
    """Return the suite at `path` with its components found and options validated.

    The name of a suite that ships with balancebench will do for its path. Raises SuiteError with every mistake in the
    file. Imports no torch.
    """
    path = suite_file(path)
    text, document = _read(path)
    mistakes = Mistakes(document, line_numbers(text))
    if profile is not None:
        apply_profile(document, profile, registry, mistakes)
    for name in document.get("profile", {}) if isinstance(document.get("profile"), dict) else []:
        if name != profile:  # the others must name something too; what they set is checked when they are used
            apply_profile(_deep_copy(document), name, registry, mistakes)
    file = _validated(SuiteFile, document, mistakes)
    binder = _Binder(path.resolve().parent, registry, mistakes)
    axes: Bound = {axis: binder.axis(axis, document.get(axis)) for axis in AXES}
    metrics = binder.metrics(document.get("metrics"))
    no_balancer = binder.component("balancer", "none", "none", {}, ())
    no_imbalance = binder.component("imbalancer", "none", "none", {}, ())
    exclude = binder.selections("exclude", document, axes)
    include = binder.selections("include", document, axes)
    published = binder.published(document, axes, metrics)
    if mistakes.noted or file is None or no_balancer is None or no_imbalance is None:
        raise SuiteError(str(path), mistakes.noted)
    return BoundSuite(
        name=file.name,
        title=file.title or file.name,
        description=file.description,
        path=path,
        profile=profile,
        overrides={} if profile is None else document["profile"][profile],
        metrics=metrics,
        reports=tuple(file.run.report),
        seeds=tuple(_seed_triples(file.run)),
        precision=file.run.precision,
        deterministic=file.run.deterministic,
        threads=file.run.threads,
        jobs_per_gpu=file.run.jobs_per_gpu,
        keep_weights=file.run.keep_weights,
        validation=file.run.validation,
        floor=file.run.floor,
        ceiling=file.run.ceiling,
        axes=axes,
        no_balancer=no_balancer,
        no_imbalance=no_imbalance,
        exclude=exclude,
        include=include,
        published=published,
    )


def bind_balancer(use: str, options: dict[str, JSON], registry: Registry, folder: FilePath) -> BoundComponent:
    """Return one balancer outside a suite; relative paths start at `folder`. Raises SuiteError with every mistake."""
    mistakes = Mistakes({"balancer": [{"use": use, **options}]}, line_numbers(""))
    bound = _Binder(folder, registry, mistakes).component("balancer", use, use, options, ("balancer", 0))
    if mistakes.noted or bound is None:
        raise SuiteError(f"balancer {use}", mistakes.noted)
    return bound


def _suite_like(path: FilePath) -> str:
    """Return " (did you mean 'suites/quickstart.toml'?)" for a file of nearly this name beside it or in suites/.

    So with the name of a suite that ships with balancebench; a bare name that is like none gets all of these.
    """
    candidates = {
        candidate.relative_to(path.parent)
        for candidate in (*path.parent.glob("*.toml"), *path.parent.glob("suites/*.toml"))
    }
    by_stem = {name: name for name in SHIPPED} | {
        candidate.stem: str(candidate)
        for candidate in sorted(candidates, reverse=True)
        if candidate.name != "pyproject.toml"
    }
    close = get_close_matches(path.stem, by_stem, n=1)
    if close:
        return f" (did you mean {by_stem[close[0]]!r}?)"
    return f" (suites that come with balancebench: {', '.join(SHIPPED)})" if is_bare_name(path) else ""


def _read(path: FilePath) -> tuple[str, dict[str, JSON]]:
    def refuse(message: str, line: int | None = None) -> SuiteError:
        return SuiteError(str(path), [Mistake(message=message, line=line)])

    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise refuse(f"there is no such file{_suite_like(path)}") from None
    except IsADirectoryError:
        suites = sorted(sibling.name for sibling in path.glob("*.toml"))
        raise refuse(f"this is a directory, not a suite file{nearest('', suites)}") from None
    except UnicodeDecodeError as error:
        raise refuse(f"the file is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise refuse(f"cannot be read: {error.strerror}") from None
    try:
        return text, tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise refuse(f"not valid TOML: {error}", getattr(error, "lineno", None)) from None


def _deep_copy(document: dict[str, JSON]) -> dict[str, JSON]:
    def copied(value: JSON) -> JSON:
        if isinstance(value, dict):
            return {key: copied(inner) for key, inner in cast("dict[str, JSON]", value).items()}
        if isinstance(value, list):
            return [copied(inner) for inner in cast("list[JSON]", value)]
        return value

    return copied(document)


def _validated(model: type[SuiteFile], document: dict[str, JSON], mistakes: Mistakes) -> SuiteFile | None:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        mistakes.add_validation((), error, model)
        return None


def _seed_triples(run: RunTable) -> Iterator[SeedTriple]:
    if isinstance(run.seeds, list):
        yield from (SeedTriple(seed, seed, seed) for seed in run.seeds)
    else:
        yield from map(SeedTriple._make, product(run.seeds.subset, run.seeds.generator, run.seeds.classifier))


class _Binder:
    """Binds the tables of one file, adding to its mistakes."""

    def __init__(self, folder: FilePath, registry: Registry, mistakes: Mistakes) -> None:
        self._folder = folder
        self._registry = registry
        self._mistakes = mistakes

    def axis(self, axis: Axis, tables: JSON) -> tuple[BoundComponent, ...]:
        """Bind [[axis]] tables, sweeps expanded; labels must be unique."""
        bound: list[BoundComponent] = []
        for index, table in enumerate(cast("list[JSON]", tables) if isinstance(tables, list) else []):
            entry = _component_table(table)
            if entry is None:
                continue
            at: Path = (axis, index)
            label = entry.label or entry.use.rpartition(":")[2]
            for chosen in _combinations(entry.sweep):
                swept = "" if not chosen else f"({', '.join(f'{key}={_shown(chosen[key])}' for key in chosen)})"
                self._mistakes.moved.update({(*at, key): (*at, "sweep", key) for key in chosen if key in entry.sweep})
                component = self.component(axis, entry.use, label + swept, {**entry.options, **chosen}, at, group=label)
                if component is not None:
                    bound.append(component)
                if overlap := set(chosen) & set(entry.options):
                    self._mistakes.add((*at, "sweep"), f"{sorted(overlap)[0]!r} is swept and also given a value")
        self._refuse_duplicates(axis, tables, bound)
        return tuple(bound)

    def metrics(self, entries: JSON) -> tuple[BoundComponent, ...]:
        """Bind the metrics, each a name or a table with `use`."""
        bound: list[BoundComponent] = []
        normalised: list[JSON] = []
        for index, entry in enumerate(cast("list[JSON]", entries) if isinstance(entries, list) else []):
            table = _component_table({"use": entry} if isinstance(entry, str) else entry)
            normalised.append({"use": entry} if isinstance(entry, str) else entry)
            if table is None:
                continue
            if table.sweep:
                self._mistakes.add(("metrics", index, "sweep"), "metrics cannot be swept")
            label = table.label or table.use.rpartition(":")[2]
            metric = self.component("metric", table.use, label, table.options, ("metrics", index))
            if metric is not None:
                bound.append(metric)
        self._refuse_duplicates("metrics", normalised, bound)
        return tuple(bound)

    def component(
        self, kind: Kind, use: str, label: str, options: Mapping[str, JSON], at: Path, group: str | None = None
    ) -> BoundComponent | None:
        """Find one component and validate its options."""
        try:
            registered = self._registry.find(kind, use)
        except PluginError as error:
            self._mistakes.add((*at, "use"), str(error))
            return None
        component = registered.component
        try:
            validated = component.options.model_validate(dict(options))
        except ValidationError as error:
            self._mistakes.add_validation(at, error, component.options)
            return None
        validated = self._anchor_paths(validated)
        reference = getattr(validated, "base", None)
        base = None
        if isinstance(reference, BalancerReference):
            base = self.component("balancer", reference.use, reference.use, reference.options, (*at, "base"))
            if base is None:
                return None
        bound = BoundComponent(
            label=label,
            group=group or label,
            distribution=registered.distribution,
            component=component,
            options=validated,
            base=base,
        )
        try:
            _ = bound.reference
        except BalancebenchError as error:  # the data a dataset names is not there
            self._mistakes.add(at, str(error))
            return None
        return bound

    def selections(self, table: str, document: Mapping[str, JSON], axes: Bound) -> tuple[Selection, ...]:
        """Bind [[exclude]] or [[include]]: every label must be of some entry."""
        chosen: list[Selection] = []
        for index, entry in enumerate(document.get(table) or []):
            selection = _quietly(SelectionTable, entry)
            if isinstance(selection, SelectionTable):
                chosen.append(self._selection(selection, (table, index), axes))
        return tuple(chosen)

    def published(
        self, document: Mapping[str, JSON], axes: Bound, metrics: tuple[BoundComponent, ...]
    ) -> tuple[PublishedNumbers, ...]:
        """Bind [[published]]: labels of entries, and labels of metrics with numbers."""
        metric_labels = [metric.label for metric in metrics]
        bound: list[PublishedNumbers] = []
        for index, raw in enumerate(document.get("published") or []):
            at: Path = ("published", index)
            entry = _quietly(PublishedTable, raw)
            if not isinstance(entry, PublishedTable):
                continue
            for key, value in entry.values.items():
                if key not in metric_labels:
                    self._mistakes.add((*at, key), f"{key!r} is no metric of this suite{nearest(key, metric_labels)}")
                elif not _is_number(value):
                    self._mistakes.add((*at, key), f"a published value is a number, got {value!r}")
            selection = self._selection(entry, at, axes)
            values = {key: float(value) for key, value in entry.values.items() if _is_number(value)}
            bound.append(
                PublishedNumbers(
                    labels={axis: _labels(getattr(selection, axis), axes[axis]) for axis in AXES},
                    report=entry.report,
                    ceiling=entry.ceiling,
                    values=values,
                    source=entry.source,
                    protocol=" ".join((entry.protocol or "").split()),
                )
            )
        return tuple(bound)

    def _selection(self, entry: SelectionTable | PublishedTable, at: Path, axes: Bound) -> Selection:
        labels: dict[Axis, str | None] = {axis: getattr(entry, axis) for axis in AXES}
        for axis, label in labels.items():
            axis_labels = {name for bound in axes[axis] for name in (bound.label, bound.group)}
            axis_labels |= {"none"} if axis in ("balancer", "imbalancer") else set()
            if label is not None and axes[axis] and label not in axis_labels:
                self._mistakes.add(
                    (*at, axis), f"there is no {axis} with the label {label!r}{nearest(label, axis_labels)}"
                )
        return Selection(**labels)

    def _anchor_paths(self, options: Options) -> Options:
        """Let relative paths start at the suite file, and those below $BALANCEBENCH_DATA where data lies."""
        anchored = {name: self._anchored(value) for name, value in dict(options).items() if isinstance(value, FilePath)}
        return options.model_copy(update=anchored) if anchored else options

    def _anchored(self, path: FilePath) -> FilePath:
        if path.parts[:1] == (DATA_ROOT,):
            return data_root().joinpath(*path.parts[1:])
        return self._folder / path.expanduser()

    def _refuse_duplicates(self, name: str, tables: JSON, bound: list[BoundComponent]) -> None:
        seen: set[str] = set()
        for entry in bound:
            if entry.label in seen:
                indices = [
                    index
                    for index, table in enumerate(tables)
                    if isinstance(table, dict)
                    and entry.group == (table.get("label") or str(table.get("use")).rpartition(":")[2])
                ]
                what = "metric" if name == "metrics" else name
                self._mistakes.add(
                    (name, indices[-1] if indices else 0),
                    f"two {what}s have the label {entry.label!r}; give one a `label` of its own",
                )
            seen.add(entry.label)


def _labels(named: str | None, entries: tuple[BoundComponent, ...]) -> tuple[str, ...] | None:
    """Return the labels that a selection's name stands for: of a sweep all of its entries'."""
    if named is None:
        return None
    return tuple(entry.label for entry in entries if named in (entry.label, entry.group)) or (named,)


def _is_number(value: JSON) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _component_table(table: JSON) -> ComponentTable | None:
    entry = _quietly(ComponentTable, table)
    return entry if isinstance(entry, ComponentTable) else None


def _quietly(model: type[BaseModel], value: JSON) -> BaseModel | None:
    """Validate what the whole file's model has already complained about, if it is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError:
        return None


def _combinations(sweep: Mapping[str, list[JSON]]) -> Iterator[dict[str, JSON]]:
    for values in product(*sweep.values()):
        yield dict(zip(sweep, values, strict=True))


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
