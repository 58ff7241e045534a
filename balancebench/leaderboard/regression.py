"""Compares fresh results with committed records, allowing what the spread between seeds allows.

What is allowed. Where nothing changed but the machine or a library's version, a fresh cell is at worst another draw
from the distribution that the committed one was drawn from. With standard deviation s between seeds, the difference of
two draws has standard deviation sqrt(2) s, and the difference of two means over m cells sqrt(2 / m) s. A cell, and the
mean of a row, may therefore move by

    K s / sqrt(m),  m = 1 for a cell, K = 6,

which is 6 / sqrt(2) = 4.2 standard deviations of that difference. A row of three seeds is caught when its mean moves by
more than 3.5 s: the test of means is the sharp one; the test of cells says which cell.

s is estimated from the committed values: that of the row itself, or that pooled over the rows of the same task, report
and metric, whichever is larger. A row of three seeds has two degrees of freedom and would often claim a spread near 0;
the pool has two for each row. Simulated with normal values, six rows of three seeds, all of them drawn anew: 0.8 % of
the boards fail where the rows have the same spread, 4 to 6 % where one has up to three times that of the others. K = 8
would bring that to 0.1 and 2 %, but find half of the rows that moved by 5 s, of which K = 6 finds four in five.

Where there is one seed, s is 0 and only a resolution remains: one test image for a share of test images, a millionth
part elsewhere.

Images seen and optimiser steps must be equal: they are decided, not measured. Seconds and memory are not compared.
Metrics with a value a class are not either: the scalar ones cover them with less noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from balancebench.config import JSON
from balancebench.evaluation import Report
from balancebench.leaderboard.fingerprints import difference_between
from balancebench.leaderboard.records import Records, without_folders
from balancebench.leaderboard.results import CellResult, MetricHeader
from balancebench.leaderboard.statistics import deviation, mean
from balancebench.plan import CellRole, Task
from balancebench.stage import Stage
from balancebench.suite.bound import SeedTriple

__all__ = ["Changed", "KeyChange", "Moved", "Regression", "compare_with_records"]

SPREADS_ALLOWED = 6.0
RELATIVE_RESOLUTION = 1e-6
MACHINE_UNITS = frozenset({"s", "MiB"})

CellName = tuple[Task, CellRole, str, SeedTriple]
RowName = tuple[Task, CellRole, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A value, or a row's mean, that moved further than the seeds' spread allows."""

    name: str
    report: Report
    metric: str
    unit: str
    committed: float
    fresh: float
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Something of a cell that is not a metric: its status, its images, its budget, or that it is there at all."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """A field of steps' identities that changed, with both values, and how many cells that concerns."""

    stage: Stage
    text: str
    cells: int


@dataclass(slots=True, kw_only=True)
class Regression:
    """The comparison. `failed` where something moved; new cells, mended cells and changed keys alone do not fail.

    silent: names of cells whose values differ, within what is allowed, although every key and the environment are
    the same: something computes other outputs without a new revision.
    """

    unchanged: int = 0
    within: int = 0
    moved: list[Moved] = field(default_factory=list[Moved])
    changed: list[Changed] = field(default_factory=list[Changed])
    vanished: list[Changed] = field(default_factory=list[Changed])
    failing: list[Changed] = field(default_factory=list[Changed])
    mended: list[Changed] = field(default_factory=list[Changed])
    new: list[str] = field(default_factory=list[str])
    key_changes: list[KeyChange] = field(default_factory=list[KeyChange])
    environment_changes: list[str] = field(default_factory=list[str])
    silent: list[str] = field(default_factory=list[str])

    @property
    def failed(self) -> bool:
        """Whether a number, a subset, a budget or a status moved, or cells vanished."""
        return bool(self.moved or self.changed or self.vanished or self.failing)


def compare_with_records(fresh: Records, committed: Records) -> Regression:
    """Return what differs between a fresh run and committed records; see the module's text for what is allowed."""
    regression = Regression()
    committed_cells = {_name(cell): cell for cell in committed.cells}
    fresh_cells = {_name(cell): cell for cell in fresh.cells}
    regression.new = [str(cell) for name, cell in fresh_cells.items() if name not in committed_cells]
    regression.vanished = [
        Changed(name=str(cell), text="it is in the records, but no longer in the suite")
        for name, cell in committed_cells.items()
        if name not in fresh_cells
    ]
    pairs = [(committed_cells[name], cell) for name, cell in fresh_cells.items() if name in committed_cells]
    finished: list[tuple[CellResult, CellResult]] = []
    for old, new in pairs:
        if old.status == new.status == "done":
            finished.append((old, new))
            _compare_facts(regression, old, new)
        elif old.status == "done":
            regression.failing.append(Changed(name=str(new), text=f"it was done, now {new.status}: {new.message}"))
        elif new.status == "done":
            regression.mended.append(Changed(name=str(new), text=f"it was {old.status}, now done"))
    metrics = [metric for metric in fresh.suite.metrics if metric.unit not in MACHINE_UNITS]
    for metric in metrics:
        for report in fresh.suite.reports:
            _compare_metric(regression, committed.cells, finished, report, metric)
    regression.key_changes = _key_changes(pairs)
    regression.environment_changes = _environment_changes(finished)
    regression.silent = [str(new) for old, new in finished if _silently_differs(old, new, metrics)]
    return regression


def _name(cell: CellResult) -> CellName:
    return cell.task, cell.role, cell.balancer, cell.seeds


def _row_name(cell: CellResult) -> RowName:
    return cell.task, cell.role, cell.balancer


def _compare_facts(regression: Regression, old: CellResult, new: CellResult) -> None:
    """Compare what must be equal: the images trained on, and the budget."""
    if old.subset and new.subset and old.subset.fingerprint != new.subset.fingerprint:
        text = f"trained on other images: {difference_between(new.subset, old.subset)}"
        regression.changed.append(Changed(name=str(new), text=text))
    if old.cost is None or new.cost is None:
        return
    for words, before, after in (
        ("images seen", old.cost.images_seen, new.cost.images_seen),
        ("optimiser steps", old.cost.optimiser_steps, new.cost.optimiser_steps),
    ):
        if before != after:
            regression.changed.append(Changed(name=str(new), text=f"{words} {before:,} -> {after:,}"))


def _compare_metric(
    regression: Regression,
    committed: Iterable[CellResult],
    finished: Sequence[tuple[CellResult, CellResult]],
    report: Report,
    metric: MetricHeader,
) -> None:
    spreads = _spreads(committed, report, metric.label)
    rows: dict[RowName, list[tuple[float, float]]] = {}
    resolutions: dict[RowName, float] = {}
    compared: set[tuple[RowName, str, str]] = set()
    for old, new in finished:
        row, before, after = _row_name(new), _value(old, report, metric.label), _value(new, report, metric.label)
        if (row, old.score_key, new.score_key) in compared or (before is None and after is None):
            continue
        compared.add((row, old.score_key, new.score_key))
        if before is None or after is None:
            text = f"{report} {metric.label} {_shown(before)} -> {_shown(after)}"
            regression.changed.append(Changed(name=str(new), text=text))
            continue
        rows.setdefault(row, []).append((before, after))
        resolutions[row] = _resolution(old, metric, before)
        allowed = max(SPREADS_ALLOWED * spreads[row], resolutions[row])
        if before == after:
            regression.unchanged += 1
        elif abs(after - before) <= allowed:
            regression.within += 1
        else:
            regression.moved.append(_moved(str(new), report, metric, before, after, allowed))
    for row, values in rows.items():
        before, after = mean([pair[0] for pair in values]), mean([pair[1] for pair in values])
        allowed = max(SPREADS_ALLOWED * spreads[row] / math.sqrt(len(values)), resolutions[row])
        if len(values) > 1 and abs(after - before) > allowed:
            task, _, balancer = row
            name = f"{task} / {balancer} / mean of {len(values)} seeds"
            regression.moved.append(_moved(name, report, metric, before, after, allowed))


def _spreads(cells: Iterable[CellResult], report: Report, label: str) -> dict[RowName, float]:
    """Return for each row the larger of its own standard deviation and the one pooled over its task."""
    rows: dict[RowName, dict[str, float]] = {}
    for cell in cells:
        value = _value(cell, report, label)
        if value is not None:
            rows.setdefault(_row_name(cell), {})[cell.score_key] = value
    own = {row: deviation(list(values.values())) for row, values in rows.items()}
    squares: dict[Task, float] = {}
    freedoms: dict[Task, int] = {}
    for row, std in own.items():
        if std is not None:
            freedom = len(rows[row]) - 1
            squares[row[0]] = squares.get(row[0], 0.0) + freedom * std**2
            freedoms[row[0]] = freedoms.get(row[0], 0) + freedom
    pooled = {task: math.sqrt(squares[task] / freedom) for task, freedom in freedoms.items()}
    return {row: max(std or 0.0, pooled.get(row[0], 0.0)) for row, std in own.items()}


def _value(cell: CellResult, report: Report, label: str) -> float | None:
    scores = cell.scores.get(report)
    score = scores.metrics.get(label) if scores is not None else None
    return score.value if score is not None and isinstance(score.value, float) else None


def _resolution(cell: CellResult, metric: MetricHeader, value: float) -> float:
    """Return the smallest difference that means anything: one test image, or a millionth part."""
    one_image = 1 / cell.subset.test_images if metric.unit == "%" and cell.subset and cell.subset.test_images else 0.0
    return max(one_image, abs(value) * RELATIVE_RESOLUTION, RELATIVE_RESOLUTION) * (1 + 1e-9)


def _moved(name: str, report: Report, metric: MetricHeader, committed: float, fresh: float, allowed: float) -> Moved:
    return Moved(
        name=name,
        report=report,
        metric=metric.label,
        unit=metric.unit,
        committed=committed,
        fresh=fresh,
        allowed=allowed,
    )


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"


def _key_changes(pairs: Iterable[tuple[CellResult, CellResult]]) -> list[KeyChange]:
    """Return the fields whose change gave steps another key; what changed only with its inputs is left out."""
    counted: dict[tuple[Stage, str], int] = {}
    for old, new in pairs:
        for stage, key in new.steps.items():
            if old.steps.get(stage) == key:
                continue
            if stage not in old.steps:
                texts = ["the step is new"]
            elif stage not in old.identities or stage not in new.identities:
                texts = ["the records do not say what it was made from"]
            else:
                texts = list(_differences(old.identities[stage], new.identities[stage]))
            for text in texts:
                counted[stage, text] = counted.get((stage, text), 0) + 1
        for stage in old.steps.keys() - new.steps.keys():
            counted[stage, "the step is gone"] = counted.get((stage, "the step is gone"), 0) + 1
    return [KeyChange(stage=stage, text=text, cells=cells) for (stage, text), cells in counted.items()]


def _differences(old: JSON, new: JSON, path: str = "") -> Iterable[str]:
    """Yield "components.classifier.options.epochs 15 -> 20" for every field that differs."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            inner = f"{path}.{key}" if path else str(key)
            if key not in new:
                yield f"{inner} is gone"
            elif key not in old:
                yield f"{inner} is new"
            else:
                yield from _differences(old[key], new[key], inner)
    elif without_folders(old) != without_folders(new):
        yield f"{path} {_brief(old)} -> {_brief(new)}"


def _brief(value: JSON) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _environment_changes(pairs: Iterable[tuple[CellResult, CellResult]]) -> list[str]:
    changes: dict[str, None] = {}
    for old, new in pairs:
        changes |= dict.fromkeys(_differences(old.provenance, new.provenance))
    return list(changes)


def _silently_differs(old: CellResult, new: CellResult, metrics: Iterable[MetricHeader]) -> bool:
    if old.steps != new.steps or _without_commit(old.provenance) != _without_commit(new.provenance):
        return False
    return any(
        _value(old, report, metric.label) != _value(new, report, metric.label)
        for metric in metrics
        for report in new.scores
    )


def _without_commit(provenance: Mapping[str, JSON]) -> dict[str, JSON]:
    return {key: value for key, value in provenance.items() if key != "git_commit"}
