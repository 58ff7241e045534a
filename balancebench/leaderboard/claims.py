"""Claims about results: what a paper or a README says of two rows, checked against what is recorded.

    [[claim]]
    records = "fashion_mnist_lt"             # a folder beside the file; or suite = "../suites/x.toml", with a store
    task = "step"                            # words of the task's name
    a = "balanced_softmax"
    b = "none"
    verdict = "better"                       # of a against b: better, worse, level, undecided, identical
    margin = 5                               # in the metric's unit, by default 0

Several claims in one file are held together by Holm's correction, so that the chance of any false one stays below 5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import tomli
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from balancebench.errors import LeaderboardError, nearest
from balancebench.evaluation import Report
from balancebench.leaderboard.evidence import Evidence
from balancebench.leaderboard.separation import SEPARATED, holm
from balancebench.leaderboard.two_rows import Comparison, compare_rows, p_of_verdict
from balancebench.leaderboard.verdict import Verdict

__all__ = ["CheckedClaim", "Claim", "check_claims", "read_claims"]


class Claim(BaseModel):
    """One claim; see the module's text. metric, report: by default those that rank."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    records: str | None = None
    suite: str | None = None
    task: str | None = None
    metric: str | None = None
    report: Report | None = None
    a: str
    b: str
    margin: float = Field(default=0.0, ge=0)
    verdict: Literal["better", "worse", "level", "undecided", "identical"]

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if (self.records is None) == (self.suite is None):
            raise ValueError("name either records or a suite")
        if self.verdict == "level" and self.margin == 0:
            raise ValueError("level needs a margin above 0: no two rows are equal")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedClaim:
    """A claim, and whether it holds. p_adjusted: by Holm over the file's claims of better, worse and level, else None.

    reason: why it does not hold, "" where it does.
    """

    claim: Claim
    comparison: Comparison
    holds: bool
    p_adjusted: float | None
    reason: str


def read_claims(path: Path) -> list[Claim]:
    """Read a file of claims; raise LeaderboardError with the file, table and key of every mistake."""
    try:
        document = tomli.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LeaderboardError(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise LeaderboardError(f"{path} cannot be read: {error}") from error
    mistakes = [f"unknown table {name!r}{nearest(name, ['claim'])}" for name in document if name != "claim"]
    tables = document.get("claim", [])
    if not isinstance(tables, list) or not tables:
        raise LeaderboardError(f"{path} has no [[claim]]")
    claims: list[Claim] = []
    for number, table in enumerate(tables, start=1):
        try:
            claims.append(Claim.model_validate(table))
        except ValidationError as error:
            mistakes += [
                f"[[claim]] {number}{_described(details['loc'], details['msg'])}" for details in error.errors()
            ]
    if mistakes:
        raise LeaderboardError("\n".join(f"{path}: {mistake}" for mistake in mistakes))
    return claims


def _described(location: Sequence[int | str], message: str) -> str:
    key = str(location[0]) if location else ""
    if message.startswith("Extra inputs"):
        return f": unknown key {key!r}{nearest(key, Claim.model_fields)}"
    text = message.removeprefix("Value error, ")
    return f", {key}: {text}" if key else f": {text}"


def check_claims(path: Path, claims: Sequence[Claim], evidence_of: Callable[[Claim], Evidence]) -> list[CheckedClaim]:
    """Return whether each claim of a file holds; evidence_of finds the results it is about.

    Raises LeaderboardError with file and table where a name is not known.
    """
    comparisons: list[Comparison] = []
    for number, claim in enumerate(claims, start=1):
        try:
            evidence = evidence_of(claim)
            contest = evidence.contest(claim.task)
            comparisons.append(
                compare_rows(
                    evidence,
                    contest,
                    claim.a,
                    claim.b,
                    metric=claim.metric,
                    report=claim.report,
                    margin=claim.margin,
                )
            )
        except LeaderboardError as error:
            raise LeaderboardError(f"{path}: [[claim]] {number}: {error}") from error
    p_of = {
        index: p_of_verdict(comparison, claim.verdict)
        for index, (claim, comparison) in enumerate(zip(claims, comparisons, strict=True))
        if claim.verdict in ("better", "worse", "level")
    }
    adjusted = dict(zip(p_of, holm(list(p_of.values())), strict=True))
    return [
        _checked(claim, comparison, adjusted.get(index))
        for index, (claim, comparison) in enumerate(zip(claims, comparisons, strict=True))
    ]


def _checked(claim: Claim, comparison: Comparison, p_adjusted: float | None) -> CheckedClaim:
    reason = _why_not(claim, comparison, comparison.verdict, p_adjusted)
    return CheckedClaim(claim=claim, comparison=comparison, holds=not reason, p_adjusted=p_adjusted, reason=reason)


def _why_not(claim: Claim, comparison: Comparison, verdict: Verdict, p_adjusted: float | None) -> str:
    if verdict == "not comparable":
        return f"not comparable: {comparison.reason}"
    if comparison.unfinished:
        return f"{', '.join(comparison.unfinished)} has seeds that are not done, and a claim needs all"
    if verdict != claim.verdict:
        return f"it is {verdict}"
    if p_adjusted is not None and p_adjusted >= SEPARATED:
        return f"its p is {p_adjusted:.3f} once adjusted for the claims of this file"
    return ""
