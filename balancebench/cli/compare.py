"""The commands that weigh rows against each other: compare, seeds, claims, variance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from balancebench.cli.shared import (
    SOME_FAILED,
    JsonFlag,
    ProfileOption,
    StoreOption,
    bound_plan,
    console,
    print_json,
)
from balancebench.folders import DEFAULT_STORE

if TYPE_CHECKING:
    from balancebench.leaderboard.claims import Claim
    from balancebench.leaderboard.evidence import Evidence
    from balancebench.leaderboard.two_rows import Comparison

__all__ = ["claims", "compare", "seeds", "variance"]

SuiteOrName = Annotated[
    str,
    typer.Argument(help="The suite file; with --records also the name of a folder of records.", metavar="SUITE"),
]
FirstRow = Annotated[str, typer.Argument(help="A row, by its label in the table.", metavar="A")]
SecondRow = Annotated[str, typer.Argument(help="The row that it is held against.", metavar="B")]
TaskOption = Annotated[
    str | None, typer.Option("--task", help="Words of the task's name; by default every task.", metavar="TASK")
]
MetricOption = Annotated[
    str | None, typer.Option("--metric", help="A metric's label; by default the one that ranks.", metavar="METRIC")
]
ReportOption = Annotated[
    str | None,
    typer.Option("--report", help="last or best_validation; by default the suite's first.", metavar="REPORT"),
]
RecordsOption = Annotated[
    Path | None,
    typer.Option("--records", help="Read committed records in DIR/NAME instead of the store.", metavar="DIR"),
]


def compare(
    suite: SuiteOrName,
    first: FirstRow,
    second: SecondRow,
    task: TaskOption = None,
    metric: MetricOption = None,
    report: ReportOption = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0, help="What counts as a difference, in the metric's unit.", metavar="X")
    ] = 0.0,
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    records: RecordsOption = None,
    json: JsonFlag = False,
) -> None:
    """Say in words whether row A is better than row B: one planned comparison, over seeds and test images.

    Example: [bold]balancebench compare fashion_mnist_lt balanced_softmax none --records leaderboard[/bold]
    """
    from balancebench.leaderboard.compare_text import comparison_lines
    from balancebench.leaderboard.two_rows import compare_rows

    evidence = _evidence(suite, profile, store, records)
    comparisons = [
        compare_rows(evidence, contest, first, second, metric=metric, report=report, margin=margin)
        for contest in evidence.contests_of(task)
    ]
    if json:
        print_json([_comparison_json(comparison) for comparison in comparisons])
        return
    _print([line for comparison in comparisons for line in comparison_lines(comparison)])


def seeds(
    suite: SuiteOrName,
    first: FirstRow,
    second: SecondRow,
    difference: Annotated[
        float,
        typer.Option("--difference", min=1e-9, help="The difference to find, in the metric's unit.", metavar="X"),
    ],
    task: TaskOption = None,
    metric: MetricOption = None,
    report: ReportOption = None,
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    records: RecordsOption = None,
    json: JsonFlag = False,
) -> None:
    """Say how many seeds would tell two rows apart that differ by so much, from how much their seeds differ so far.

    Example: [bold]balancebench seeds fashion_mnist_lt drw none --difference 1 --records leaderboard[/bold]
    """
    from dataclasses import asdict

    from balancebench.leaderboard.compare_text import seeds_lines, seeds_wanted
    from balancebench.leaderboard.two_rows import compare_rows

    evidence = _evidence(suite, profile, store, records)
    comparisons = [
        compare_rows(evidence, contest, first, second, metric=metric, report=report)
        for contest in evidence.contests_of(task)
    ]
    wanted = [seeds_wanted(comparison, difference) for comparison in comparisons]
    if json:
        print_json(
            [
                {
                    "task": str(comparison.task),
                    "metric": comparison.metric.label,
                    "seeds": None if of is None else {**asdict(of), "test_set_is_too_small": of.test_set_is_too_small},
                }
                for comparison, of in zip(comparisons, wanted, strict=True)
            ]
        )
        return
    pairs = zip(comparisons, wanted, strict=True)
    _print([line for comparison, of in pairs for line in seeds_lines(comparison, of)])


def claims(
    file: Annotated[Path, typer.Argument(help="A TOML file with a [[claim]] table for each claim.", metavar="FILE")],
    store: StoreOption = DEFAULT_STORE,
    json: JsonFlag = False,
) -> None:
    """Check claims about results, several in one file by Holm's correction; exit with 1 where one does not hold.

    Example: [bold]balancebench claims leaderboard/claims.toml[/bold]
    """
    from balancebench.leaderboard.claims import check_claims, read_claims

    known: dict[tuple[str | None, str | None], Evidence] = {}

    def evidence_of(claim: Claim) -> Evidence:
        about = claim.records, claim.suite
        if about not in known:
            if claim.records is not None:
                known[about] = _evidence(claim.records, None, store, file.parent)
            else:
                known[about] = _evidence(str(file.parent / str(claim.suite)), None, store, None)
        return known[about]

    checked = check_claims(file, read_claims(file), evidence_of)
    if json:
        print_json(
            [
                {
                    "claim": one.claim.model_dump(mode="json"),
                    "holds": one.holds,
                    "reason": one.reason,
                    "p_adjusted": one.p_adjusted,
                    "comparison": _comparison_json(one.comparison),
                }
                for one in checked
            ]
        )
    else:
        from balancebench.leaderboard.compare_text import claim_line

        out = console()
        for one in checked:
            out.print(claim_line(one), style="green" if one.holds else "red", markup=False, soft_wrap=True)
    if not all(one.holds for one in checked):
        raise typer.Exit(SOME_FAILED)


def variance(
    suite: SuiteOrName,
    metric: MetricOption = None,
    report: ReportOption = None,
    profile: ProfileOption = None,
    store: StoreOption = DEFAULT_STORE,
    records: RecordsOption = None,
    json: JsonFlag = False,
) -> None:
    """Show where the variance of rows and of their differences sits: subset, generator, classifier, test images.

    Parts are told where a suite crosses two streams of seeds with three levels or more each.

    Example: [bold]balancebench variance suites/my_suite.toml[/bold]
    """
    from dataclasses import asdict

    from balancebench.leaderboard.variance import variances
    from balancebench.leaderboard.variance_text import variance_table

    rows = variances(_evidence(suite, profile, store, records), metric=metric, report=report)
    if json:
        print_json([{**asdict(row), "task": str(row.task), "metric": row.metric.label} for row in rows])
        return
    out = console()
    for part in variance_table(rows):
        out.print(part)


def _evidence(suite: str, profile: str | None, store: Path, records: Path | None) -> Evidence:
    """Return the results of a suite, from the store or from committed records."""
    from balancebench.leaderboard.evidence import evidence_in_store, evidence_of_records
    from balancebench.store import Store

    if records is not None:
        name = Path(suite).stem if suite.endswith(".toml") else suite
        return evidence_of_records(records, name if profile is None else f"{name}.{profile}")
    planned = bound_plan(Path(suite), profile)
    return evidence_in_store(planned, Store.open(store, create=False))


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    from dataclasses import asdict

    document = asdict(comparison)
    del document["estimates"], document["class_names"]
    names = comparison.class_names
    classes = (
        None if document["classes"] is None else [{**of, "class": names[of["label"]]} for of in document["classes"]]
    )
    return {**document, "task": str(comparison.task), "metric": comparison.metric.label, "classes": classes}


def _print(lines: list[str]) -> None:
    out = console()
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
