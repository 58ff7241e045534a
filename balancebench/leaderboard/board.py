"""The leaderboard as a data structure: what Markdown, CSV, JSON, terminal and pages are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from balancebench.config import JSON
from balancebench.errors import LeaderboardError
from balancebench.evaluation import Cost, Report
from balancebench.leaderboard.intervals import Interval
from balancebench.leaderboard.results import CellStatus, MetricHeader, SuiteHeader
from balancebench.plan import CellRole, Task

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "AgainstFloor",
    "AggregateRow",
    "AggregateTable",
    "ClassSummary",
    "Difference",
    "Leaderboard",
    "MetricSummary",
    "Problem",
    "PublishedComparison",
    "Row",
    "SeparatedPairs",
    "Summary",
    "TaskTable",
]

Seeds = str
"""A seed triple as `str(SeedTriple)` writes it: "0", or "0/1/2" where the streams differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Mean and standard deviation (n - 1 in the denominator; None for n = 1) over n measurements.

    mean is None where there is none, and `reason` says why.
    """

    mean: float | None
    std: float | None = None
    n: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference(Summary):
    """The paired difference of a row from another, and its unadjusted intervals of 95 %, in the metric's unit.

    seeds_interval: over seeds, on these very test images. full_interval: over seeds and test images, what a claim about
    a method needs. run_interval: of one seed, over test images alone. Each is None where it is not known, and
    `interval_reason` says why full_interval is not, though there is a mean. p: of no difference, two-sided, of
    full_interval, else of seeds_interval; None with fewer than two seeds. df: degrees of freedom over seeds.
    image_variance: what other test images add to the variance of the mean, 0 where that is not known.
    """

    seeds_interval: Interval | None = None
    full_interval: Interval | None = None
    run_interval: Interval | None = None
    p: float | None = None
    df: float | None = None
    image_variance: float = 0.0
    interval_reason: str = ""

    @property
    def interval(self) -> Interval | None:
        """The interval to decide by: over seeds and test images where that is known, else over seeds."""
        return self.full_interval or self.seeds_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstFloor:
    """Whether a ranked row is told apart from the floor, by the metric that ranks.

    verdict: "better" or "worse" where p_adjusted is below 0.05, else None. p: unadjusted. p_adjusted: by Benjamini and
    Hochberg over all pairs of ranked rows.
    """

    verdict: Literal["better", "worse"] | None
    p: float
    p_adjusted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparatedPairs:
    """Pairs of ranked rows that are told apart. tested: how many pairs there are with two seeds or more in common.

    pairs: (balancer, balancer) of those told apart, the better one first, in the order of ranks.
    """

    tested: int
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedComparison:
    """A paper's number, and ours minus it. protocol: how the paper's differs from the suite's, "" where it does not."""

    value: float
    difference: float | None
    source: str
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSummary:
    """One metric of one row.

    values: of every cell that has one, by seeds. undefined: seeds -> why there is none.
    difference: from the floor, paired: over the differences of cells with the same seeds.
    gap_closed: (row - floor) / (ceiling - floor), of means over the seeds that all three have; 0 is the floor, 1 the
    ceiling, whichever direction is better. None, with `gap_reason`, where the ceiling is no better than the floor.
    gap_interval: of 95 % over seeds (Fieller's); None, with `gap_interval_reason`, where there is none.
    """

    values: Mapping[Seeds, float]
    undefined: Mapping[Seeds, str]
    over_seeds: Summary
    difference: Difference
    gap_closed: float | None
    gap_reason: str
    gap_interval: Interval | None
    gap_interval_reason: str
    published: tuple[PublishedComparison, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSummary:
    """A metric with one value a class: its values by seeds, None where undefined, and the mean over seeds."""

    values_K: Mapping[Seeds, tuple[float | None, ...]]
    mean_K: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Cells of a row that are not done, for one reason."""

    status: CellStatus
    message: str
    seeds: tuple[Seeds, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One balancer in one task and report.

    planned, done: measurements; cells that share a score (a balancer that draws nothing, under several generator
    seeds) are one. rank: None for the ceiling, and where `unranked_because` says why.
    rank_range: the first and last rank that it may have, given what is told apart; None where it has no rank, or fewer
    than two seeds. level_with_first: whether it is not told apart from the first-ranked row, as that row itself is not;
    None as rank_range. against_floor: None as rank_range, for the floor itself, and without one.
    score_keys: seeds -> key of the measurement, of the cells that are done.
    epochs, searched_from: seeds -> the epoch reported, and the first one among which a best one was searched, from 0.
    optimism: only for best_test: the first ranking metric minus the same of the last epoch, paired.
    exposure: images that the row's classifiers saw in training, repeats counted, as a multiple of the floor's; None
    without a floor, and where records do not tell them from what a generator saw.
    at_chance: whether its balanced accuracy is no better than guessing; None where records do not say.
    above_ceiling: by how much the metric that ranks is better than the ceiling's, paired, > 0; None where it is not.
    """

    balancer: str
    role: CellRole
    rank: int | None
    rank_range: tuple[int, int] | None
    level_with_first: bool | None
    against_floor: AgainstFloor | None
    unranked_because: str
    planned: int
    done: int
    problems: tuple[Problem, ...]
    score_keys: Mapping[Seeds, str]
    epochs: Mapping[Seeds, int]
    searched_from: Mapping[Seeds, int]
    metrics: Mapping[str, MetricSummary]
    per_class: Mapping[str, ClassSummary]
    matrices: Mapping[str, Mapping[Seeds, JSON]]
    optimism: Summary | None
    cost: Cost | None
    exposure: float | None
    used_withheld_data: bool
    outside_data: tuple[str, ...]
    warnings: tuple[str, ...]
    at_chance: bool | None
    above_ceiling: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTable:
    """Balancers that compete on one task, under one report, best first.

    metrics: those with one number a cell, in the suite's order. class_metrics: those with one a class.
    ranked_by: the label of the metric that ranks, or None. ranking_note: which seeds rank the rows, or why nobody is
    ranked; "" where all rows have all seeds. separated: the pairs of ranked rows told apart by it; None where nobody is
    ranked, and of best_test. interval_notes: what the intervals leave out. train_counts_K: images kept of each class,
    the mean over subsets. subset_metrics: metrics of the training subset with one number; measures: label -> over the
    subsets.
    """

    task: Task
    report: Report
    metrics: tuple[MetricHeader, ...]
    class_metrics: tuple[MetricHeader, ...]
    ranked_by: str | None
    ranking_note: str
    separated: SeparatedPairs | None
    interval_notes: tuple[str, ...]
    class_names: tuple[str, ...]
    train_counts_K: tuple[float, ...]
    subset_metrics: tuple[MetricHeader, ...]
    measures: Mapping[str, Summary]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateRow:
    """A balancer over all tasks of a suite, by the metric that ranks.

    difference: the mean over tasks of the mean difference from the floor, with its interval; n counts tasks, and std is
    None. gap_closed: the sum of gains over the sum of rooms. mean_rank: over tasks, among the rows that have them all.
    won, level, lost: tasks in which it is better than the floor, not told apart from it, and worse; None for the floor.
    lacks: the tasks in which it has no rank; then there is no mean_rank, and all else is of the tasks that it has.
    signed_rank_p: Wilcoxon's over the tasks' mean differences, of six tasks or more.
    """

    balancer: str
    role: CellRole
    mean_rank: float | None
    difference: Difference
    gap_closed: float | None
    won: int | None
    level: int | None
    lost: int | None
    lacks: tuple[Task, ...]
    signed_rank_p: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateTable:
    """The rows of one report over two or more tasks, best mean rank first, those that lack a task last.

    It is about these tasks and no others.
    """

    report: Report
    ranked_by: MetricHeader
    tasks: tuple[Task, ...]
    rows: tuple[AggregateRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """All tables of a suite. counts: status -> measurements. environments: what the cells were made with.

    aggregates: one a report, of suites with two or more tasks.
    """

    suite: SuiteHeader
    counts: Mapping[CellStatus, int]
    environments: tuple[Mapping[str, JSON], ...]
    aggregates: tuple[AggregateTable, ...]
    tables: tuple[TaskTable, ...]

    def to_dataframe(self) -> DataFrame:
        """Return a pandas.DataFrame with a line for each task, report, balancer, metric and seeds that has a value.

        Its columns are dataset, imbalancer, classifier, report, balancer, role, rank, metric, seeds and value: long
        form, to be grouped and pivoted. Values are as they are: 0.83, not 83 %. Raises LeaderboardError where pandas
        is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise LeaderboardError("a DataFrame needs pandas: pip install pandas") from error
        lines = [
            {
                "dataset": table.task.dataset,
                "imbalancer": table.task.imbalancer,
                "classifier": table.task.classifier,
                "report": table.report,
                "balancer": row.balancer,
                "role": row.role,
                "rank": row.rank,
                "metric": label,
                "seeds": seeds,
                "value": value,
            }
            for table in self.tables
            for row in table.rows
            for label, metric in row.metrics.items()
            for seeds, value in metric.values.items()
        ]
        columns = [
            "dataset",
            "imbalancer",
            "classifier",
            "report",
            "balancer",
            "role",
            "rank",
            "metric",
            "seeds",
            "value",
        ]
        return pandas.DataFrame(lines, columns=columns).astype({"rank": "Int64"})

    def _repr_html_(self) -> str:
        """Return the tables as HTML: how a notebook shows a leaderboard."""
        from balancebench.leaderboard.notebook import leaderboard_html

        return leaderboard_html(self)
