"""The columns of a leaderboard's table, as text: Markdown and the terminal choose from the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from balancebench.evaluation import Cost
from balancebench.leaderboard.board import Row, TaskTable
from balancebench.leaderboard.format import (
    PROTOCOL_MARK,
    STATUS_WORDS,
    alike_texts,
    bytes_text,
    count_text,
    difference_text,
    exposure_text,
    gap_text,
    heading,
    published_texts,
    range_text,
    seconds_text,
    seeds_text,
    signed_text,
    summary_text,
    value_text,
)
from balancebench.leaderboard.interval_words import interval_lines
from balancebench.leaderboard.results import MetricHeader

__all__ = [
    "Column",
    "Notes",
    "class_columns",
    "comparison_columns",
    "main_columns",
    "measure_texts",
    "problem_lines",
    "remark_lines",
]

WITHHELD_MARK, OUTSIDE_MARK, WARNING_MARK = "†", "‡", "§"
ROLE_TAGS = {"floor": " (floor)", "ceiling": " (ceiling)", "entry": ""}
NOTHING = "-"
THIS_RUN = "this run only: 95 % over test images, for one seed tells nothing of others"
FEWER_SEEDS = "its means are over fewer cells than those of other rows"


@dataclass(slots=True)
class Notes:
    """Footnotes of one table, numbered in the order of their first use; `mark` formats a number."""

    mark: Callable[[int], str]
    texts: list[str] = field(default_factory=list[str])

    def refer(self, text: str) -> str:
        """Return the mark of a note, adding it where it is new."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return self.mark(1 + self.texts.index(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its heading, what it says of a row, and how much a narrow terminal needs it (0: always)."""

    heading: str
    cell: Callable[[Row, Notes], str]
    align: Literal["left", "right"] = "right"
    priority: int = 0


def main_columns(table: TaskTable) -> list[Column]:
    """Return rank, balancer, every metric, floor and ceiling comparisons of the ranking one, cells and cost."""
    columns = [
        Column(heading="#", cell=_rank),
        Column(heading="balancer", cell=_balancer, align="left"),
    ]
    if any(row.rank_range is not None for row in table.rows):
        columns.insert(1, Column(heading="range", cell=lambda row, _: range_text(row) or NOTHING, priority=2))
    for index, metric in enumerate(table.metrics):
        ranks = metric.label == table.ranked_by
        columns.append(_value_column(metric, 0 if ranks else 4 + index))
        if ranks:
            columns += _comparisons(table, metric, "vs floor", "gap closed")
        if ranks and any(row.optimism is not None for row in table.rows):
            columns.append(_optimism_column(metric))
        if any(row.metrics[metric.label].published for row in table.rows):
            columns += _published_columns(metric, 2 if ranks else 4 + index)
    columns.append(Column(heading="cells", cell=_cells))
    if any(row.cost is not None for row in table.rows):
        columns += [
            _cost_column("time", 3, lambda cost: seconds_text(cost.duration_seconds)),
            _cost_column("images seen", 50, lambda cost: count_text(cost.images_seen)),
            _cost_column("steps", 51, lambda cost: count_text(cost.optimiser_steps)),
            _cost_column("memory", 52, lambda cost: bytes_text(cost.peak_memory_bytes)),
        ]
    return columns


def comparison_columns(table: TaskTable) -> list[Column]:
    """Return the floor and ceiling comparisons of the metrics that do not rank; empty where there are none."""
    columns: list[Column] = []
    for metric in table.metrics:
        if metric.label != table.ranked_by:
            columns += _comparisons(table, metric, f"{metric.label} vs floor", f"{metric.label} gap closed")
    return [Column(heading="balancer", cell=_balancer, align="left"), *columns] if columns else []


def class_columns(table: TaskTable, metric: MetricHeader) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of a metric with one value a class: a row a class, a column a balancer."""
    shown = [row for row in table.rows if row.per_class[metric.label].mean_K]
    headings = ["class", "training images", *(row.balancer + ROLE_TAGS[row.role] for row in shown)]
    lines: list[list[str]] = []
    for label, (name, count) in enumerate(zip(table.class_names, table.train_counts_K, strict=True)):
        means = [row.per_class[metric.label].mean_K[label : label + 1] for row in shown]
        texts = [value_text(mean[0], metric.unit) if mean and mean[0] is not None else NOTHING for mean in means]
        lines.append([name, count_text(count), *texts])
    return headings, lines


def remark_lines(table: TaskTable) -> list[str]:
    """Return what must be known of a table's ranking and rows, and what its marks and published numbers mean."""
    rows = table.rows
    lines = [f"{table.ranking_note}."] if table.ranking_note else []
    lines += interval_lines(table)
    if chance := [row.balancer + ROLE_TAGS[row.role] for row in rows if row.at_chance]:
        lines.append(f"At chance: {', '.join(chance)}: a balanced accuracy that is no better than guessing.")
    lines += _ceiling_lines(table)
    lines += _stage_lines(rows)
    if any(row.used_withheld_data for row in rows):
        lines.append(f"{WITHHELD_MARK} has seen training images that the imbalancer removed.")
    for text in sorted({text for row in rows for text in row.outside_data}):
        balancers = ", ".join(row.balancer for row in rows if text in row.outside_data)
        lines.append(f"{OUTSIDE_MARK} data from outside the suite: {text} ({balancers}).")
    return [*lines, *_warning_lines(rows), *_published_lines(rows)]


def _warning_lines(rows: Sequence[Row]) -> list[str]:
    """Return the warnings with the rows that they are of; seeds that differ in numbers alone share a line."""
    texts_of: dict[str, list[str]] = {}
    for text in sorted({text for row in rows for text in row.warnings}):
        texts_of.setdefault(", ".join(row.balancer for row in rows if text in row.warnings), []).append(text)
    return sorted(
        f"{WARNING_MARK} {text} ({balancers})." for balancers, texts in texts_of.items() for text in alike_texts(texts)
    )


def _stage_lines(rows: Sequence[Row]) -> list[str]:
    """Return of which rows the best epoch is one of the last stage's, where an earlier one was another training."""
    names_of: dict[str, list[str]] = {}
    for row in rows:
        if later := sorted({epoch + 1 for epoch in row.searched_from.values() if epoch}):
            names_of.setdefault(" or ".join(map(str, later)), []).append(row.balancer)
    return [
        f"Best epochs of {', '.join(names)} are searched from epoch {first} on, where the last stage begins: those "
        "before are another training's."
        for first, names in names_of.items()
    ]


def _ceiling_lines(table: TaskTable) -> list[str]:
    unit = next((metric.unit for metric in table.metrics if metric.label == table.ranked_by), "")
    above = [
        f"{row.balancer} by {value_text(row.above_ceiling, unit)}"
        for row in table.rows
        if row.above_ceiling is not None
    ]
    advice = "look for test or withheld images in its training"
    return [f"Above its ceiling: {', '.join(above)}: {advice}."] if above else []


def _published_lines(rows: Sequence[Row]) -> list[str]:
    names_of: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        numbers = [number for metric in row.metrics.values() for number in metric.published]
        for origin in dict.fromkeys((number.source, number.protocol) for number in numbers):
            names_of.setdefault(origin, []).append(row.balancer)
    lines: list[str] = []
    for (source, protocol), names in names_of.items():
        mark, remark = (f"{PROTOCOL_MARK} ", f"; another protocol: {protocol}") if protocol else ("", "")
        lines.append(f"{mark}Published numbers: {source} ({', '.join(names)}){remark}.")
    return lines


def measure_texts(table: TaskTable) -> list[str]:
    """Return what metrics of the training subset say, one text each."""
    texts: list[str] = []
    for metric in table.subset_metrics:
        measured = table.measures[metric.label]
        unit = f" {metric.unit}" if metric.unit else ""
        value = measured.reason if measured.mean is None else f"{summary_text(measured, metric.unit)}{unit}"
        texts.append(f"{metric.label} {value}")
    return texts


def problem_lines(rows: Sequence[Row]) -> list[str]:
    """Return every reason why cells are not done, with their balancer and seeds."""
    return [
        f"{row.balancer}{ROLE_TAGS[row.role]}, {seeds_text(problem.seeds)}, {STATUS_WORDS[problem.status]}: "
        f"{problem.message}"
        for row in rows
        for problem in row.problems
    ]


def _rank(row: Row, notes: Notes) -> str:
    if row.rank is not None:
        return str(row.rank)
    return NOTHING + notes.refer(row.unranked_because) if row.done and row.role != "ceiling" else NOTHING


def _balancer(row: Row, _notes: Notes) -> str:
    marks = "".join(
        mark
        for mark, marked in (
            (WITHHELD_MARK, row.used_withheld_data),
            (OUTSIDE_MARK, row.outside_data),
            (WARNING_MARK, row.warnings),
        )
        if marked
    )
    exposure = exposure_text(row.exposure)
    return f"{row.balancer}{ROLE_TAGS[row.role]}{' ' if marks else ''}{marks}{', ' if exposure else ''}{exposure}"


def _cells(row: Row, notes: Notes) -> str:
    if row.done == row.planned:
        return str(row.done)
    return f"{row.done} of {row.planned}" + (notes.refer(FEWER_SEEDS) if row.done else "")


def _value_column(metric: MetricHeader, priority: int) -> Column:
    def cell(row: Row, notes: Notes) -> str:
        summary = row.metrics[metric.label]
        undefined = "; ".join(
            f"{seeds_text(tuple(seeds for seeds, why in summary.undefined.items() if why == reason))}: {reason}"
            for reason in sorted(set(summary.undefined.values()))
        )
        note = notes.refer(f"{metric.label} is undefined, {undefined}") if undefined else ""
        return (NOTHING if summary.over_seeds.mean is None else summary_text(summary.over_seeds, metric.unit)) + note

    return Column(heading=heading(metric), cell=cell, priority=priority)


def _comparisons(table: TaskTable, metric: MetricHeader, floor_heading: str, gap_heading: str) -> list[Column]:
    """Return the difference from the floor and the gap closed, where the task has a floor, and a ceiling."""

    def difference(row: Row, notes: Notes) -> str:
        summary = row.metrics[metric.label]
        if not row.done or (row.role == "floor" and summary.difference.mean is None):
            return NOTHING  # the floor is not compared with itself
        if summary.difference.mean is None:
            return NOTHING + notes.refer(summary.difference.reason)
        text = difference_text(summary.difference, metric.unit)
        if metric.label == table.ranked_by and row.against_floor is not None:
            text += f" {row.against_floor.verdict or 'level'}"
        if summary.difference.run_interval is not None:
            text += notes.refer(THIS_RUN)
        if summary.difference.n == summary.over_seeds.n:
            return text
        return text + notes.refer(f"only {summary.difference.n} of {summary.over_seeds.n} cells have a floor")

    def gap(row: Row, notes: Notes) -> str:
        summary = row.metrics[metric.label]
        if summary.gap_closed is not None:
            return gap_text(summary.gap_closed, summary.gap_interval)
        compares_with_itself = row.role in ("floor", "ceiling")
        return NOTHING if compares_with_itself or not row.done else NOTHING + notes.refer(summary.gap_reason)

    roles = {row.role for row in table.rows}
    columns = [Column(heading=floor_heading, cell=difference, priority=1)] if "floor" in roles else []
    if {"floor", "ceiling"} <= roles and metric.higher_is_better is not None:
        columns.append(Column(heading=gap_heading, cell=gap, priority=2))
    return columns


def _optimism_column(metric: MetricHeader) -> Column:
    def cell(row: Row, _notes: Notes) -> str:
        optimism = row.optimism
        return NOTHING if optimism is None or optimism.mean is None else signed_text(optimism, metric.unit)

    return Column(heading="vs last epoch", cell=cell, priority=1)


def _published_columns(metric: MetricHeader, priority: int) -> list[Column]:
    def text(row: Row, part: int) -> str:
        summary = row.metrics[metric.label]
        return published_texts(summary, metric.unit)[part] if summary.published else NOTHING

    return [
        Column(heading=f"published {metric.label}", cell=lambda row, _: text(row, 0), priority=priority),
        Column(heading="ours - published", cell=lambda row, _: text(row, 1), priority=priority),
    ]


def _cost_column(name: str, priority: int, text: Callable[[Cost], str]) -> Column:
    return Column(heading=name, cell=lambda row, _: NOTHING if row.cost is None else text(row.cost), priority=priority)
