"""What of a row a reader should doubt: that it has learnt anything, or that it has learnt from what it may."""

from __future__ import annotations

import math
from collections.abc import Sequence

from balancebench.evaluation import Report
from balancebench.leaderboard.contest import Group
from balancebench.leaderboard.results import CellResult, MetricHeader
from balancebench.leaderboard.statistics import mean, paired

__all__ = ["above_ceiling", "at_chance"]

STANDARD_ERRORS = 2.0


def at_chance(measured: Sequence[CellResult], report: Report) -> bool | None:
    """Say whether the balanced accuracy of a row, the mean over its S measurements, is no better than guessing.

    That is, not above 1/K + 2 e / sqrt(S), where e is the binomial standard error of one guesser's, see
    `balancebench.artefacts.scores.AgainstGuessing`. None where nothing is measured, or a record is older than this.
    """
    against = [cell.scores[report].guessing for cell in measured if report in cell.scores]
    known = [guessing for guessing in against if guessing is not None]
    if not known or len(known) < len(against):
        return None
    chance = mean([guessing.chance for guessing in known])
    error = mean([guessing.standard_error for guessing in known]) / math.sqrt(len(known))
    return mean([guessing.balanced_accuracy for guessing in known]) <= chance + STANDARD_ERRORS * error


def above_ceiling(group: Group, ceiling: Group | None, report: Report, metric: MetricHeader | None) -> float | None:
    """Return by how much a row's mean is better than its ceiling's over the seeds that both have, or None where not.

    Positive whichever direction is better: training on all images is better informed than any balancer may be.
    """
    if ceiling is None or metric is None or metric.higher_is_better is None:
        return None
    rows = group, ceiling
    pairs = paired([row.score_keys for row in rows], [row.numbers(report, metric.label) for row in rows])
    if not pairs:
        return None
    gained = mean([of_row - of_ceiling for of_row, of_ceiling in pairs])
    gained = gained if metric.higher_is_better else -gained
    return gained if round(gained, 12) > 0 else None
