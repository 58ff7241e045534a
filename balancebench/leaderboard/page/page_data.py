"""What the page embeds: every field that its script reads, named once.

Values are as leaderboard.csv has them (0.83, not 83 %); texts are as people read them and are shown as they are. Axis
suffixes: R rows, S seeds, K classes, P pairs of rows.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from balancebench.evaluation import Report
from balancebench.leaderboard.results import MetricHeader

__all__ = [
    "COUNT_ARRAYS",
    "SIGNIFICANT_DIGITS",
    "Aggregate",
    "CellText",
    "ClassCounts",
    "CsvColumn",
    "CsvField",
    "CurveBand",
    "Identity",
    "Mark",
    "MetricCells",
    "NotDone",
    "Page",
    "PagePicture",
    "PageRow",
    "PageTable",
    "PublishedNumber",
    "RowCurves",
    "Term",
]

SIGNIFICANT_DIGITS = 8  # of what is embedded; leaderboard.csv and records.json have them all

COUNT_ARRAYS = ("right_RSK", "confusion_RKK", "squares_PK", "sums_PK")  # of ClassCounts, packed in this order


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CellText(_Frozen):
    """One cell of the table.

    value: what it is sorted by, None last. reason: why there is no number, or what must be known of it.
    """

    text: str
    value: float | None = None
    reason: str = ""


class Mark(_Frozen):
    """A short word that stands in a box beside a row's name, and what it means there."""

    word: str
    text: str


class Term(_Frozen):
    """A word of the page and what it means."""

    word: str
    text: str


class NotDone(_Frozen):
    """Cells of a row that are not done: how that ended, over which seeds, and the message."""

    words: str
    message: str


class PublishedNumber(_Frozen):
    """A paper's number of a metric, and ours minus it, both as texts; protocol: how the paper's differs, "" if not."""

    metric: str
    value: str
    difference: str
    source: str
    protocol: str


class MetricCells(_Frozen):
    """A metric of a row: its value, the difference from the floor, the share of the gap, and values by seeds.

    seeds_interval, full_interval: of the difference, low and high, in the metric's unit, to six digits as in
    leaderboard.csv; None where not known.
    """

    score: CellText
    difference: CellText
    gap: CellText
    published: CellText
    ours_minus_published: CellText
    values: dict[str, float]
    seeds_interval: tuple[float, float] | None
    full_interval: tuple[float, float] | None


class Identity(_Frozen):
    """What one stage of a row was made by. options: name -> JSON text, as records say them. keys: seeds -> key."""

    stage: str
    component: str
    distribution: str
    revision: str
    options: dict[str, str]
    keys: dict[str, str]


class PageRow(_Frozen):
    """One row. id: of its role and label, the same in every table. metrics: in the order of the table's.

    range: first and last rank that it may have. level: with the first. verdict: against the floor. problem: why it has
    no number at all, in few words, "" where it has. optimism, cross_fitted: empty but for the report best_test.
    """

    id: str
    name: str
    role: str
    rank: CellText
    range: tuple[int, int] | None
    range_text: str
    level: bool
    verdict: str
    unranked: str
    problem: str
    marks: tuple[Mark, ...]
    exposure: str
    metrics: tuple[MetricCells, ...]
    optimism: CellText
    cross_fitted: CellText
    cells: CellText
    costs: tuple[CellText, ...]
    not_done: tuple[NotDone, ...]
    notes: tuple[str, ...]
    epochs: dict[str, int]
    identities: tuple[Identity, ...]
    citation: str
    numbers: tuple[PublishedNumber, ...]


CsvField: TypeAlias = Literal[
    "mean",
    "difference_mean",
    "difference_low",
    "difference_high",
    "gap_closed",
    "duration_seconds",
    "images_seen",
    "optimiser_steps",
    "peak_memory_bytes",
]
"""Columns of leaderboard.csv that the page's rows may hold anyway."""


class CsvColumn(_Frozen):
    """A column of leaderboard.csv, a line for each row and metric, in one of five ways.

    field: what the rows hold. all: one text. rows: a text a row. metrics: a text a metric. lines: a text a line.
    """

    name: str
    field: CsvField | None = None
    all: str | None = None
    rows: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    lines: tuple[str, ...] | None = None


class ClassCounts(_Frozen):
    """What test images say of the rows, for priors, classes and comparisons of two rows.

    test_K: test images. weights_MK: what the classes' recalls weigh in each metric of the table (M), None where it is
    no mean of them. rows: positions in the table's rows (R). seeds: those that all of them have (S), each a draw of
    its own. right_RSK: images predicted right. confusion_RKK: images by true class and prediction, summed over seeds;
    None past 20 classes, where commonest_RK has for each true class up to five (prediction, images).
    For pairs of rows (P, the first before the second, row by row; only those with pair_with where that is not None) and
    classes, over the seeds and images of a class: squares_PK the sum of (c_a - c_b)^2, and sums_PK the sum over images
    of (sum over seeds of c_a - c_b)^2, both whole numbers; c is 1 where an image is predicted right.
    """

    test_K: tuple[int, ...]
    weights_MK: list[list[float] | None]
    rows: tuple[int, ...]
    seeds: tuple[str, ...]
    right_RSK: list[list[list[int]]]
    confusion_RKK: list[list[list[int]]] | None
    commonest_RK: list[list[list[tuple[int, int]]]] | None
    pair_with: int | None
    squares_PK: list[list[int]]
    sums_PK: list[list[int]]


class CurveBand(_Frozen):
    """Mean, least and most over trainings of each epoch (E); None where that of a training is not finite."""

    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


class RowCurves(_Frozen):
    """A row by epoch. epochs: those that bands are of, counted from 1. trainings: how many they are over. left_out:
    trainings of another length. bands: by what they are of; accuracies 0..1.
    """

    epochs: tuple[int, ...]
    trainings: int
    left_out: int
    bands: dict[str, CurveBand]


class PagePicture(_Frozen):
    """A picture beside the page. balancer: the row that it is of, "" of all. embedded: whether the page carries it."""

    balancer: str
    title: str
    alt: str
    caption: str
    file: str
    embedded: bool


class PageTable(_Frozen):
    """One task under one report. id: of both. ranked_by: position in metrics, None where nothing ranks.

    summary: one sentence of how much the table tells apart. warning: about the whole table. cost_names: headings of
    costs. floor: position of the floor's row. counts_reason: why there are no counts by class. curves: what the task's
    curves are called, "" where there are none, and curves_reason says why. csv: the columns of leaderboard.csv.
    """

    id: str
    task: str
    dataset: str
    imbalancer: str
    classifier: str
    report: Report
    report_title: str
    summary: str
    warning: str
    remarks: tuple[str, ...]
    measures: tuple[str, ...]
    metrics: tuple[MetricHeader, ...]
    headings: tuple[str, ...]
    ranked_by: int | None
    has_gap: bool
    has_optimism: bool
    has_cross_fit: bool
    cost_names: tuple[str, ...]
    class_names: tuple[str, ...]
    train_K: tuple[float, ...]
    seeds: tuple[str, ...]
    floor: int | None
    rows: tuple[PageRow, ...]
    counts: ClassCounts | None
    counts_reason: str
    curves: str
    curves_reason: str
    pictures: tuple[PagePicture, ...]
    csv: tuple[CsvColumn, ...]


class Aggregate(_Frozen):
    """The rows over all tasks of a suite under one report, as texts: a text for each heading. names: its column."""

    title: str
    headings: tuple[str, ...]
    names: int
    lines: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...]


class Page(_Frozen):
    """One suite. facts: what stands below the title. tables: in the suite's order. legend: how to read it.

    aggregates: one a report, of suites with two or more tasks. curves: by what tables call them, rows by id.
    """

    name: str
    title: str
    description: str
    profile: str
    facts: tuple[str, ...]
    command: str
    aggregates: tuple[Aggregate, ...]
    tables: tuple[PageTable, ...]
    curves: dict[str, dict[str, RowCurves]]
    legend: tuple[Term, ...]
