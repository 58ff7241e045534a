"""Finds the components that a suite file names, and validates their options, adding to the file's mistakes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path as FilePath
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from balancebench.component import Component, DatasetComponent, Kind
from balancebench.config import JSON, BalancerReference, Options
from balancebench.contained import contained
from balancebench.errors import BalancebenchError, PluginError, nearest
from balancebench.folders import data_root
from balancebench.plain_text import visible
from balancebench.registry import Registry
from balancebench.suite.bound import BoundComponent, PublishedNumbers, Selection
from balancebench.suite.exact_types import converted_values
from balancebench.suite.mistakes import Mistakes, Path
from balancebench.suite.schema import AXES, Axis, ComponentTable, PublishedTable, SelectionTable

__all__ = ["Binder", "Bound"]

MOST_COMBINATIONS = 10_000  # of one sweep
DATA_ROOT = "$BALANCEBENCH_DATA"
LONGEST_REASON = 200  # characters of what a plugin says

Bound = dict[Axis, tuple[BoundComponent, ...]]


class Binder:
    """Binds the tables of one file, adding to its mistakes."""

    def __init__(self, folder: FilePath, registry: Registry, mistakes: Mistakes) -> None:
        self._folder = folder
        self._registry = registry
        self._mistakes = mistakes

    def axis(self, axis: Axis, tables: JSON) -> tuple[BoundComponent, ...]:
        """Bind [[axis]] tables, sweeps expanded; labels must be unique."""
        bound: list[BoundComponent] = []
        for index, table in enumerate(_entries(tables)):
            entry = _component_table(table)
            if entry is None:
                continue
            at: Path = (axis, index)
            label = entry.label or entry.use.rpartition(":")[2]
            if (combinations := math.prod(map(len, entry.sweep.values()))) > MOST_COMBINATIONS:
                self._mistakes.add(
                    (*at, "sweep"), f"the sweep makes {combinations} entries, and one makes at most {MOST_COMBINATIONS}"
                )
                continue
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
        listed = _entries(entries)
        unlabelled = Counter(_default_label(entry) for entry in listed)
        for index, entry in enumerate(listed):
            table = _component_table({"use": entry} if isinstance(entry, str) else entry)
            normalised.append({"use": entry} if isinstance(entry, str) else entry)
            if table is None:
                continue
            if table.sweep:
                self._mistakes.add(("metrics", index, "sweep"), "metrics cannot be swept")
            label = table.label or table.use.rpartition(":")[2]
            if table.label is None and unlabelled[label] > 1 and table.options:  # one metric, asked for in several ways
                label += f"({', '.join(f'{key}={_shown(value)}' for key, value in table.options.items())})"
                normalised[-1] = {**normalised[-1], "label": label}
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
        validated = self._validated_options(component, options, at)
        if validated is None:
            return None
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
        return bound if self._has_data(bound, at) else None

    def _validated_options(
        self, component: Component[Any, Any], options: Mapping[str, JSON], at: Path
    ) -> Options | None:
        """Return the options of a component, paths anchored; None, with what is wrong noted, where they cannot be."""
        try:
            with contained():
                validated = component.options.model_validate(dict(options))
        except ValidationError as error:
            self._mistakes.add_validation(at, error, component.options)
        except Exception as error:  # noqa: BLE001 - the model is a plugin's
            self._mistakes.add(at, _failed_text(component.name, error))
        else:
            for key, message in converted_values(options, validated):
                self._mistakes.add((*at, *key), message)
            return self._anchored(validated, at)
        return None

    def _has_data(self, bound: BoundComponent, at: Path) -> bool:
        """Say whether the data that a dataset names is there, and note it where it is not."""
        try:
            with contained():
                _ = bound.reference
        except BalancebenchError as error:
            self._mistakes.add(at, str(error))
        except Exception as error:  # noqa: BLE001 - what identifies data is a plugin's
            self._mistakes.add(at, _failed_text(bound.component.name, error))
        else:
            return True
        return False

    def require_validation(self, datasets: tuple[BoundComponent, ...]) -> None:
        """Note datasets that are known to bring no validation images, where best_validation needs some."""
        for dataset in datasets:
            component = dataset.component
            if isinstance(component, DatasetComponent) and not component.brings_validation(dataset.options):
                self._mistakes.add(
                    ("run", "report"),
                    f"best_validation needs validation images, and {dataset.label} brings none: add "
                    "validation = { fraction = 0.1 } to [run], which carves them from the kept images",
                )

    def selections(self, table: str, document: Mapping[str, JSON], axes: Bound) -> tuple[Selection, ...]:
        """Bind [[exclude]] or [[include]]: every label must be of some entry."""
        chosen: list[Selection] = []
        for index, entry in enumerate(_entries(document.get(table))):
            selection = _quietly(SelectionTable, entry)
            if isinstance(selection, SelectionTable):
                chosen.append(self._selection(selection, (table, index), axes))
        return tuple(chosen)

    def published(
        self, document: Mapping[str, JSON], axes: Bound, metrics: tuple[BoundComponent, ...]
    ) -> tuple[PublishedNumbers, ...]:
        """Bind [[published]]: labels of entries, and labels of metrics with numbers."""
        by_label = {metric.label: metric for metric in metrics}
        metric_labels = list(by_label)
        bound: list[PublishedNumbers] = []
        for index, raw in enumerate(_entries(document.get("published"))):
            at: Path = ("published", index)
            entry = _quietly(PublishedTable, raw)
            if not isinstance(entry, PublishedTable):
                continue
            for key, value in entry.values.items():
                if key not in metric_labels:
                    self._mistakes.add((*at, key), f"{key!r} is no metric of this suite{nearest(key, metric_labels)}")
                elif not _is_number(value):
                    self._mistakes.add((*at, key), f"a published value is a number, got {value!r}")
                elif value > 1 and getattr(by_label[key].component, "unit", "") == "%":
                    self._mistakes.add((*at, key), f"{key} runs from 0 to 1: write {value / 100:g} for {value:g} %")
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

    def _anchored(self, options: Options, at: Path) -> Options | None:
        """Let relative paths start at the suite file, and those below $BALANCEBENCH_DATA where data lies.

        Where a path is none, note a mistake and return None.
        """
        anchored: dict[str, FilePath] = {}
        for name, value in dict(options).items():
            if not isinstance(value, FilePath):
                continue
            try:
                anchored[name] = self._rooted(value)
                anchored[name].exists()  # raises where no file can be called so
            except (OSError, RuntimeError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                self._mistakes.add((*at, name), f"the path cannot be used: {reason}")
        return options.model_copy(update=anchored) if len(anchored) == _path_count(options) else None

    def _rooted(self, path: FilePath) -> FilePath:
        if path.parts[:1] == (DATA_ROOT,):
            return data_root().joinpath(*path.parts[1:])
        return self._folder / path.expanduser()

    def _refuse_duplicates(self, name: str, tables: JSON, bound: list[BoundComponent]) -> None:
        seen: set[str] = set()
        for entry in bound:
            if entry.label in seen:
                indices = [
                    index
                    for index, table in enumerate(_entries(tables))
                    if isinstance(table, dict)
                    and entry.group == (table.get("label") or str(table.get("use")).rpartition(":")[2])
                ]
                what = "metric" if name == "metrics" else name
                self._mistakes.add(
                    (name, indices[-1] if indices else 0),
                    f"two {what}s have the label {entry.label!r}; give one a `label` of its own",
                )
            seen.add(entry.label)


def _path_count(options: Options) -> int:
    return sum(isinstance(value, FilePath) for value in dict(options).values())


def _entries(tables: JSON) -> list[JSON]:
    """Return the entries of an array of tables, none where it is something else, which is a mistake of its own."""
    return cast("list[JSON]", tables) if isinstance(tables, list) else []


def _failed_text(name: str, error: Exception) -> str:
    return f"{name} cannot take these options: {visible(f'{type(error).__name__}: {error}')[:LONGEST_REASON]}"


def _labels(named: str | None, entries: tuple[BoundComponent, ...]) -> tuple[str, ...] | None:
    """Return the labels that a selection's name stands for: of a sweep all of its entries'."""
    if named is None:
        return None
    return tuple(entry.label for entry in entries if named in (entry.label, entry.group)) or (named,)


def _default_label(entry: JSON) -> str | None:
    """Return what a metric without a label is called, or None where it has one."""
    table = _component_table({"use": entry} if isinstance(entry, str) else entry)
    return table.use.rpartition(":")[2] if table is not None and table.label is None else None


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
    return str(value).lower() if isinstance(value, bool) else visible(str(value))
