"""Numbers as people read them. ASCII signs only, so that tables stay searchable."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from balancebench.evaluation import Report
from balancebench.leaderboard.board import Difference, MetricSummary, Row, Summary
from balancebench.leaderboard.intervals import Interval
from balancebench.leaderboard.results import CellStatus, MetricHeader

__all__ = [
    "PROTOCOL_MARK",
    "REPORT_TITLES",
    "STATUS_WORDS",
    "alike_texts",
    "bytes_text",
    "count_text",
    "difference_text",
    "exposure_text",
    "gap_text",
    "heading",
    "interval_text",
    "published_texts",
    "range_text",
    "seconds_text",
    "seeds_text",
    "signed_text",
    "summary_text",
    "value_text",
]

STATUS_WORDS: dict[CellStatus, str] = {
    "done": "done",
    "failed": "failed",
    "out_of_memory": "out of memory",
    "timeout": "timed out",
    "skipped": "skipped",
    "missing": "missing",
}

PROTOCOL_MARK = "¶"  # of published numbers of another protocol
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\w)")  # that stands alone: no part of a name
ROUNDING = 1e-12  # of differences of equal values
ALIKE = 0.9, 1.1  # multiples of the images seen: a last batch that is not full makes a difference of a few per cent

REPORT_TITLES: dict[Report, str] = {
    "last": "Last epoch",
    "best_validation": "Best epoch on validation images",
    "best_test": "Best epoch on the test images",
}


def heading(metric: MetricHeader) -> str:
    """Return a column's heading: label, unit, and an arrow where lower is better."""
    unit = f" ({metric.unit})" if metric.unit not in ("", "s") else ""
    return f"{metric.label}{unit}{' ↓' if metric.higher_is_better is False else ''}"


def value_text(value: float, unit: str) -> str:
    """Return one value: per cent with two decimals, seconds humanised, counts whole, else by magnitude."""
    if unit == "s":
        return seconds_text(value)
    scaled, decimals = _scaled(value, unit)
    return _fixed(scaled, decimals)


def summary_text(summary: Summary, unit: str) -> str:
    """Return mean and spread; only the mean for n = 1. The mean must be there."""
    assert summary.mean is not None  # noqa: S101 - callers show the reason instead
    return value_text(summary.mean, unit) + _spread_text(summary, unit)


def signed_text(summary: Summary, unit: str) -> str:
    """Return a difference with its sign, and its spread. The mean must be there."""
    assert summary.mean is not None  # noqa: S101 - callers show the reason instead
    if unit == "s":
        return ("+" if summary.mean >= 0 else "-") + seconds_text(abs(summary.mean))
    mean, decimals = _scaled(summary.mean, unit)
    return _fixed(mean, decimals, sign="+") + _spread_text(summary, unit)


def difference_text(difference: Difference, unit: str) -> str:
    """Return a difference with its sign and its interval: "+9.50 [+0.46, +18.54]". The mean must be there.

    One seed has the interval of its test images; whoever shows it says so. Times have none: their spread is the
    machine's.
    """
    assert difference.mean is not None  # noqa: S101 - callers show the reason instead
    text = signed_text(Summary(mean=difference.mean), unit)
    if unit == "s":
        return text
    interval = difference.interval or difference.run_interval
    return text if interval is None else f"{text} {interval_text(interval, unit, difference.mean)}"


def interval_text(interval: Interval, unit: str, mean: float) -> str:
    """Return "[+0.46, +18.54]" with the decimals of the mean that it is around."""
    decimals = _scaled(mean, unit)[1]
    low, high = (_fixed(_scaled(bound, unit)[0], decimals, sign="+") for bound in (interval.low, interval.high))
    return f"[{low}, {high}]"


def range_text(row: Row) -> str:
    """Return the range of a row's rank, "1-23", or "4" where it is one; "" without a range."""
    if row.rank_range is None:
        return ""
    lowest, highest = row.rank_range
    return str(lowest) if lowest == highest else f"{lowest}-{highest}"


def _spread_text(summary: Summary, unit: str) -> str:
    """Return " ± standard deviation", " (3 equal)" where all values are the same, or "" for n = 1.

    A deviation that is not 0 never reads as 0: "± <0.01" is one that the decimals of the mean do not show.
    """
    assert summary.mean is not None  # noqa: S101 - callers show the reason instead
    if summary.std is None:
        return ""
    if summary.std <= ROUNDING * max(1.0, abs(summary.mean)):
        return f" ({summary.n} equal)"
    if unit == "s":
        text, smallest = seconds_text(summary.std), seconds_text(0.01)
    else:
        decimals = _scaled(summary.mean, unit)[1]
        text, smallest = _fixed(_scaled(summary.std, unit)[0], decimals), _fixed(10.0**-decimals, decimals)
    return f" ± <{smallest}" if float(text.split()[0].replace(",", "")) == 0 else f" ± {text}"


def gap_text(share: float, interval: Interval | None = None) -> str:
    """Return a share of the gap in per cent, and its interval: "58 % [5, 78]"."""
    bounds = "" if interval is None else f" [{_fixed(100 * interval.low, 0)}, {_fixed(100 * interval.high, 0)}]"
    return f"{_fixed(100 * share, 0)} %{bounds}"


def published_texts(metric: MetricSummary, unit: str) -> tuple[str, str]:
    """Return the published values, those of another protocol marked, and ours minus each; divided by slashes."""
    values = " / ".join(
        value_text(number.value, unit) + (f" {PROTOCOL_MARK}" if number.protocol else "") for number in metric.published
    )
    differences = [
        "-" if number.difference is None else signed_text(Summary(mean=number.difference), unit)
        for number in metric.published
    ]
    return values, " / ".join(differences)


def seconds_text(seconds: float) -> str:
    """Return "0.42 s", "12.3 s", "4.5 min" or "2.3 h"."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def count_text(count: float) -> str:
    """Return a whole number with thousands divided by commas."""
    return f"{count:,.0f}"


def exposure_text(exposure: float | None) -> str:
    """Return "2.9 x the images seen" where that is more than a tenth off the floor's, or ""."""
    if exposure is None or ALIKE[0] <= exposure <= ALIKE[1]:
        return ""
    decimals = 2 if exposure < 2 else 1 if exposure < 10 else 0
    return f"{exposure:,.{decimals}f} x the images seen"


def bytes_text(count: float) -> str:
    """Return "410 MiB" or "2.3 GiB"."""
    mib = count / 2**20
    return f"{mib:.0f} MiB" if mib < 1024 else f"{mib / 1024:.1f} GiB"


def seeds_text(seeds: tuple[str, ...]) -> str:
    """Return "seed 0" or "seeds 0, 1"."""
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(seeds)}"


def alike_texts(texts: Iterable[str]) -> list[str]:
    """Return texts sorted, those that differ in numbers alone as one with their ranges: "1 to 3 of 9 classes"."""
    forms: dict[tuple[str, ...], list[list[str]]] = {}
    for text in sorted(set(texts)):
        forms.setdefault(tuple(NUMBER.split(text)), []).append(NUMBER.findall(text))
    merged: list[str] = []
    for words, numbers in forms.items():
        ranges = [_number_range(at_one_point) for at_one_point in zip(*numbers, strict=True)]
        merged.append("".join(part for pair in zip_longest(words, ranges, fillvalue="") for part in pair))
    return merged


def _number_range(numbers: Sequence[str]) -> str:
    least, most = min(numbers, key=float), max(numbers, key=float)
    return least if least == most else f"{least} to {most}"


def _scaled(value: float, unit: str) -> tuple[float, int]:
    """Return the number to print and its decimals."""
    if unit == "%":
        return 100 * value, 2
    if unit:
        return value, 0
    magnitude = abs(value)
    if 0 < magnitude < 0.01:
        return value, 5
    return value, next((decimals for bound, decimals in ((10, 3), (100, 2), (1000, 1)) if magnitude < bound), 0)


def _fixed(value: float, decimals: int, sign: str = "") -> str:
    rounded = round(value, decimals) + 0.0  # no negative zero
    return f"{rounded:{sign if rounded else ''},.{decimals}f}"
