"""What comparisons are drawn from: the results of one suite with their outcomes, and its tasks and rows by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from balancebench.errors import LeaderboardError, nearest
from balancebench.evaluation import Report
from balancebench.leaderboard.contest import Contest, RowName, score_form
from balancebench.leaderboard.outcomes import read_committed_outcomes
from balancebench.leaderboard.records import read_records
from balancebench.leaderboard.results import MetricHeader, SuiteHeader, describe_suite
from balancebench.leaderboard.results_in_store import read_results
from balancebench.leaderboard.shapes import without_misfits
from balancebench.leaderboard.table import contests
from balancebench.plan import Plan
from balancebench.store import Store

__all__ = ["Evidence", "evidence_in_store", "evidence_of_records"]

RECORDS = "records.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The contests of a suite. source: the records or the store, for messages."""

    suite: SuiteHeader
    contests: tuple[Contest, ...]
    source: str

    def contest(self, task: str | None) -> Contest:
        """Return the contest of the one task whose name contains these words; all of them where there is but one.

        Raises LeaderboardError naming the tasks where none does, or several do.
        """
        chosen = self.contests_of(task)
        if len(chosen) > 1:
            names = ", ".join(repr(str(contest.task)) for contest in chosen)
            raise LeaderboardError(f"{self.source} has several such tasks, name one of {names}")
        return chosen[0]

    def contests_of(self, task: str | None) -> list[Contest]:
        """Return the contests of the tasks whose names contain these words, all for None; there is at least one."""
        chosen = [contest for contest in self.contests if task is None or task in str(contest.task)]
        exact = [contest for contest in chosen if task == str(contest.task)]
        if not chosen:
            names = [str(contest.task) for contest in self.contests]
            raise LeaderboardError(f"{self.source} has no task {task!r}{nearest(task or '', names)}")
        return exact or chosen

    def report(self, report: str | None) -> Report:
        """Return the report of this name, the suite's first for None; raise LeaderboardError where it has none such."""
        for known in self.suite.reports:
            if report in (None, known):
                return known
        raise LeaderboardError(f"{self.source} has no report {report!r}{nearest(report or '', self.suite.reports)}")

    def metric(self, contest: Contest, report: Report, label: str | None) -> MetricHeader:
        """Return the metric of this label, for None the one that ranks; raise LeaderboardError where there is none."""
        cells = [cell for group in contest.groups.values() for cell in group.values()]
        directed = [
            metric
            for metric in self.suite.metrics
            if metric.higher_is_better is not None and score_form(cells, report, metric.label) == "number"
        ]
        for metric in directed:
            if label in (None, metric.label):
                return metric
        names = [metric.label for metric in directed]
        raise LeaderboardError(
            f"{self.source} has no metric {label!r} with one number and a better direction{nearest(label or '', names)}"
        )

    def row(self, contest: Contest, balancer: str) -> RowName:
        """Return the row of this balancer; raise LeaderboardError where there is none."""
        names = {name[1]: name for name in contest.groups}
        if balancer not in names:
            raise LeaderboardError(f"{self.source}, {contest.task}: no row {balancer!r}{nearest(balancer, names)}")
        return names[balancer]


def evidence_of_records(folder: Path, name: str) -> Evidence:
    """Return what is committed in the folder `name` of a folder of leaderboards; raise LeaderboardError if nothing."""
    path = folder / name / RECORDS
    if not path.is_file():
        raise LeaderboardError(f"there are no records at {path}{nearest(name, _committed(folder))}")
    records = read_records(path)
    results = without_misfits(records.cells)
    outcomes = read_committed_outcomes(path.parent, records)
    return Evidence(
        suite=records.suite, contests=tuple(contests(records.suite, results, outcomes)), source=str(path.parent)
    )


def evidence_in_store(plan: Plan, store: Store) -> Evidence:
    """Return what a store holds of a suite."""
    header = describe_suite(plan.suite)
    with read_results(plan, store) as (results, outcomes):
        of_tasks = contests(header, without_misfits(results), outcomes)
    return Evidence(suite=header, contests=tuple(of_tasks), source=plan.suite.name)


def _committed(folder: Path) -> Iterable[str]:
    return [path.parent.name for path in folder.glob(f"*/{RECORDS}")]
