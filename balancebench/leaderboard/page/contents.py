"""From a leaderboard, its cells and their outcomes to what the page embeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from balancebench.evaluation import Cost
from balancebench.leaderboard.aggregate_columns import (
    aggregate_cells,
    aggregate_headings,
    aggregate_remarks,
    aggregate_title,
)
from balancebench.leaderboard.board import AggregateTable, Leaderboard, MetricSummary, Row, Summary, TaskTable
from balancebench.leaderboard.columns import FEWER_SEEDS, measure_texts, remark_lines
from balancebench.leaderboard.export import csv_lines
from balancebench.leaderboard.format import (
    REPORT_TITLES,
    STATUS_WORDS,
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
from balancebench.leaderboard.intervals import Interval
from balancebench.leaderboard.markdown import environment_text, rerun_command
from balancebench.leaderboard.outcomes import Outcomes
from balancebench.leaderboard.page.csv_columns import csv_columns
from balancebench.leaderboard.page.embedded_pictures import EmbeddedPicture, embedded, pictures_of
from balancebench.leaderboard.page.image_counts import class_counts, outcomes_of_task
from balancebench.leaderboard.page.page_data import (
    SIGNIFICANT_DIGITS,
    Aggregate,
    CellText,
    MetricCells,
    NotDone,
    Page,
    PagePicture,
    PageRow,
    PageTable,
    PublishedNumber,
)
from balancebench.leaderboard.page.row_curves import NO_CURVES, cross_fitted_cell, row_curves
from balancebench.leaderboard.page.row_identities import identities_of
from balancebench.leaderboard.page.words import (
    BEST_TEST,
    LEGEND,
    marks,
    problem_words,
    summary_words,
    verdict_words,
)
from balancebench.leaderboard.results import CellResult, MetricHeader
from balancebench.leaderboard.training_curves import Curves
from balancebench.plan import CellRole, Task

__all__ = ["page_of", "row_id", "table_id"]

NOTHING = "-"
MOST_TABLES = 100  # past that a page takes minutes to make and to search, and its numbers are in files for programs
COSTS = ("time", "images seen", "steps", "memory")
RowCells = Mapping[tuple[Task, CellRole, str], Sequence[CellResult]]


def page_of(
    board: Leaderboard,
    cells: Sequence[CellResult] = (),
    outcomes: Outcomes | None = None,
    curves: Curves | None = None,
    pictures: Sequence[EmbeddedPicture] = (),
) -> Page:
    """Return what the page of a leaderboard holds.

    cells: those that the leaderboard is of; without them rows do not say what they were made by. outcomes: of the
    cells; without them nothing is shown by class. curves: of their trainings; without them nothing by epoch. pictures:
    that lie beside it. Of more than 100 tables it holds the first 100, and says so.
    """
    tables = board.tables[:MOST_TABLES]
    by_row: dict[tuple[Task, CellRole, str], list[CellResult]] = {}
    for cell in cells:
        by_row.setdefault((cell.task, cell.role, cell.balancer), []).append(cell)
    curves = curves or {}
    of_tasks = {
        task_id(table): {row_id(row): by_row.get((table.task, row.role, row.balancer), ()) for row in table.rows}
        for table in tables
    }
    files = embedded(pictures)
    drawn = {name: row_curves(cells_of, curves) for name, cells_of in of_tasks.items()}
    suite = board.suite
    total = sum(board.counts.values())
    statuses = ", ".join(f"{count} {STATUS_WORDS[status]}" for status, count in board.counts.items())
    facts = [f"{total} cells{', all done' if board.counts.get('done') == total else f': {statuses}'}{_left_out(board)}"]
    if environment := environment_text(board):
        facts.append(f"Made {environment}")
    changes = ", ".join(f"{key} = {json.dumps(value)}" for key, value in suite.overrides.items())
    changed = f", which changes the suite{f' ({changes})' if changes else ''}: these are no results of the full suite."
    return Page(
        name=suite.name,
        title=suite.title,
        description=suite.description,
        profile="" if suite.profile is None else f"Made under the profile {suite.profile}{changed}",
        facts=tuple(facts),
        command=rerun_command(board),
        aggregates=tuple(_aggregate(board, table) for table in board.aggregates),
        tables=tuple(
            _table(
                board,
                table,
                by_row,
                outcomes or {},
                curves,
                has_curves=bool(drawn[task_id(table)]),
                pictures=pictures_of(table.task, pictures, files),
            )
            for table in tables
        ),
        curves={name: of_rows for name, of_rows in drawn.items() if of_rows},
        legend=LEGEND,
    )


def _left_out(board: Leaderboard) -> str:
    if len(board.tables) <= MOST_TABLES:
        return ""
    return (
        f"; the first {MOST_TABLES} of {len(board.tables)} tables are here, leaderboard.md and leaderboard.csv have all"
    )


def table_id(table: TaskTable) -> str:
    """Return what a link calls a table: of its task and report, whatever its place in the suite."""
    task = table.task
    return _digest(task.dataset, task.imbalancer, task.classifier, table.report)


def task_id(table: TaskTable) -> str:
    """Return what is called the same in all reports of a task."""
    task = table.task
    return _digest(task.dataset, task.imbalancer, task.classifier)


def row_id(row: Row) -> str:
    """Return what a link calls a row: of its role and label, the same in every table."""
    return _digest(row.role, row.balancer)


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:10]


def _aggregate(board: Leaderboard, table: AggregateTable) -> Aggregate:
    headings = aggregate_headings(table)
    return Aggregate(
        title=aggregate_title(board, table),
        headings=tuple(headings),
        names=headings.index("balancer"),
        lines=tuple(tuple(texts) for texts in aggregate_cells(table)),
        remarks=tuple(aggregate_remarks(table)),
    )


def _table(
    board: Leaderboard,
    table: TaskTable,
    by_row: RowCells,
    outcomes: Outcomes,
    curves: Curves,
    *,
    has_curves: bool,
    pictures: tuple[PagePicture, ...],
) -> PageTable:
    cells_of = [by_row.get((table.task, row.role, row.balancer), ()) for row in table.rows]
    loaded = {cell.steps["load"] for of_row in cells_of for cell in of_row if cell.status == "done"}
    subsets = {
        cell.subset.fingerprint: cell.subset
        for row, of_row in zip(table.rows, cells_of, strict=True)
        for cell in of_row
        if cell.subset is not None and row.role != "ceiling"
    }
    counts = class_counts(table, outcomes_of_task(outcomes, loaded), list(subsets.values()))
    ranked_by = next((index for index, metric in enumerate(table.metrics) if metric.label == table.ranked_by), None)
    roles = {row.role for row in table.rows}
    rows = tuple(_row(board, table, row, cells, curves) for row, cells in zip(table.rows, cells_of, strict=True))
    return PageTable(
        id=table_id(table),
        task=str(table.task),
        dataset=table.task.dataset,
        imbalancer=table.task.imbalancer,
        classifier=table.task.classifier,
        report=table.report,
        report_title=REPORT_TITLES[table.report],
        summary=summary_words(table),
        warning=BEST_TEST if table.report == "best_test" else "",
        remarks=tuple(remark_lines(table)),
        measures=tuple(measure_texts(table)),
        metrics=table.metrics,
        headings=tuple(heading(metric) for metric in table.metrics),
        ranked_by=ranked_by,
        has_gap={"floor", "ceiling"} <= roles,
        has_optimism=any(row.optimism is not None for row in table.rows),
        has_cross_fit=any(row.cross_fitted.value is not None for row in rows),
        cost_names=COSTS if any(row.cost is not None for row in table.rows) else (),
        class_names=table.class_names,
        train_K=table.train_counts_K,
        seeds=tuple(dict.fromkeys(key for row in table.rows for key in row.score_keys)),
        floor=next((index for index, row in enumerate(table.rows) if row.role == "floor"), None),
        rows=rows,
        counts=None if isinstance(counts, str) else counts,
        counts_reason=counts if isinstance(counts, str) else "",
        curves=task_id(table) if has_curves else "",
        curves_reason="" if has_curves else NO_CURVES,
        pictures=pictures,
        csv=csv_columns(*csv_lines(board, table, SIGNIFICANT_DIGITS), rows, SIGNIFICANT_DIGITS),
    )


def _row(board: Leaderboard, table: TaskTable, row: Row, cells: Sequence[CellResult], curves: Curves) -> PageRow:
    ranking = next((metric for metric in table.metrics if metric.label == table.ranked_by), None)
    return PageRow(
        id=row_id(row),
        name=row.balancer,
        role=row.role,
        rank=CellText(text=NOTHING if row.rank is None else str(row.rank), value=row.rank, reason=row.unranked_because),
        range=row.rank_range,
        range_text=range_text(row),
        level=bool(row.level_with_first),
        verdict=verdict_words(row),
        unranked=row.unranked_because if row.done else "",
        problem="" if row.done else problem_words(row),
        marks=marks(row, table),
        exposure=exposure_text(row.exposure),
        metrics=tuple(_metric(row, metric) for metric in table.metrics),
        optimism=_optimism(row, ranking),
        cross_fitted=cross_fitted_cell(table.report, cells, curves),
        cells=_cells(row),
        costs=_costs(row.cost),
        not_done=tuple(
            NotDone(words=f"{seeds_text(problem.seeds)}, {STATUS_WORDS[problem.status]}", message=problem.message)
            for problem in row.problems
        ),
        notes=tuple(
            f"{label} is undefined, {seeds_text(tuple(summary.undefined))}: {_reasons(summary)}"
            for label, summary in row.metrics.items()
            if summary.undefined
        ),
        epochs={seeds: epoch + 1 for seeds, epoch in row.epochs.items()},
        identities=identities_of(cells),
        citation=board.suite.citations.get(row.balancer, ""),
        numbers=tuple(_numbers(row, table.metrics)),
    )


def _reasons(summary: MetricSummary) -> str:
    return "; ".join(sorted(set(summary.undefined.values())))


def _metric(row: Row, metric: MetricHeader) -> MetricCells:
    summary = row.metrics[metric.label]
    over_seeds, difference = summary.over_seeds, summary.difference
    published = published_texts(summary, metric.unit) if summary.published else (NOTHING, NOTHING)
    first = summary.published[0] if summary.published else None
    return MetricCells(
        score=CellText(
            text=NOTHING if over_seeds.mean is None else summary_text(over_seeds, metric.unit),
            value=over_seeds.mean,
            reason=_reasons(summary) or (over_seeds.reason if over_seeds.mean is None else ""),
        ),
        difference=_difference(row, summary, metric),
        gap=_gap(row, summary),
        published=CellText(text=published[0], value=None if first is None else first.value),
        ours_minus_published=CellText(text=published[1], value=None if first is None else first.difference),
        values=dict(summary.values),
        seeds_interval=_bounds(difference.seeds_interval),
        full_interval=_bounds(difference.full_interval),
    )


def _bounds(interval: Interval | None) -> tuple[float, float] | None:
    """Return the bounds to six digits: their last ones are the machine's."""
    return None if interval is None else (float(f"{interval.low:.6g}"), float(f"{interval.high:.6g}"))


def _difference(row: Row, summary: MetricSummary, metric: MetricHeader) -> CellText:
    difference = summary.difference
    if difference.mean is None:
        return CellText(text=NOTHING, reason=difference.reason if row.done else problem_words(row))
    text = difference_text(difference, metric.unit)
    fewer = difference.n < summary.over_seeds.n
    pairs = f"only {difference.n} of {summary.over_seeds.n} cells have a floor" if fewer else ""
    return CellText(text=text, value=difference.mean, reason=pairs or difference.interval_reason)


def _gap(row: Row, summary: MetricSummary) -> CellText:
    if summary.gap_closed is None:
        return CellText(text=NOTHING, reason=summary.gap_reason if row.done else problem_words(row))
    interval = summary.gap_interval
    reason = (
        f"95 % interval {gap_text(interval.low)} to {gap_text(interval.high)}"
        if interval is not None
        else summary.gap_interval_reason
    )
    return CellText(text=gap_text(summary.gap_closed), value=summary.gap_closed, reason=reason)


def _optimism(row: Row, ranking: MetricHeader | None) -> CellText:
    if row.optimism is None or row.optimism.mean is None or ranking is None:
        return CellText(text=NOTHING, reason="" if row.optimism is None else row.optimism.reason)
    return CellText(text=signed_text(row.optimism, ranking.unit), value=row.optimism.mean)


def _cells(row: Row) -> CellText:
    if row.done == row.planned:
        return CellText(text=str(row.done), value=row.done)
    return CellText(text=f"{row.done} of {row.planned}", value=row.done, reason=FEWER_SEEDS if row.done else "")


def _costs(cost: Cost | None) -> tuple[CellText, ...]:
    if cost is None:
        return tuple(CellText(text=NOTHING, reason="no cell is done") for _ in COSTS)
    return (
        CellText(text=seconds_text(cost.duration_seconds), value=cost.duration_seconds),
        CellText(text=count_text(cost.images_seen), value=cost.images_seen),
        CellText(text=count_text(cost.optimiser_steps), value=cost.optimiser_steps),
        CellText(text=bytes_text(cost.peak_memory_bytes), value=cost.peak_memory_bytes),
    )


def _numbers(row: Row, metrics: Sequence[MetricHeader]) -> Iterable[PublishedNumber]:
    for metric in metrics:
        for number in row.metrics[metric.label].published:
            difference = number.difference
            yield PublishedNumber(
                metric=heading(metric),
                value=value_text(number.value, metric.unit),
                difference=NOTHING if difference is None else signed_text(Summary(mean=difference), metric.unit),
                source=number.source,
                protocol=number.protocol,
            )
