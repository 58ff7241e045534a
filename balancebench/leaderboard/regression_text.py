"""A comparison with committed records as lines for a reader."""

from __future__ import annotations

from collections.abc import Iterator

from balancebench.leaderboard.format import REPORT_TITLES, value_text
from balancebench.leaderboard.regression import Moved, Regression

__all__ = ["regression_lines"]

RED, YELLOW, GREEN, PLAIN = "red", "yellow", "green", "default"


def regression_lines(regression: Regression) -> Iterator[tuple[str, str]]:
    """Yield lines and their colours: what moved, then what explains it, then the verdict."""
    yield from _what_moved(regression)
    yield from _what_explains_it(regression)
    compared = (
        f"{regression.unchanged} values unchanged, {regression.within} within the seeds' spread, "
        f"{len(regression.moved)} moved"
    )
    others = len(regression.changed) + len(regression.failing) + len(regression.vanished)
    if regression.failed:
        yield f"Moved: {compared}, {others} other changes.", RED
    else:
        yield f"Nothing moved: {compared}.", GREEN


def _what_moved(regression: Regression) -> Iterator[tuple[str, str]]:
    for moved in regression.moved:
        yield _moved_line(moved), RED
    for change in (*regression.changed, *regression.failing, *regression.vanished):
        yield f"{change.name}: {change.text}", RED
    for change in regression.mended:
        yield f"{change.name}: {change.text}", GREEN
    for name in regression.new:
        yield f"{name}: new, not in the records", YELLOW


def _what_explains_it(regression: Regression) -> Iterator[tuple[str, str]]:
    if regression.key_changes:
        yield "Steps have other keys than the records because of:", PLAIN
        for change in regression.key_changes:
            cells = "1 cell" if change.cells == 1 else f"{change.cells} cells"
            yield f"  {change.stage}: {change.text} ({cells})", PLAIN
    elif regression.failed:
        yield "No step has another key than the records.", PLAIN
    if regression.environment_changes:
        yield f"The records were made with another environment: {'; '.join(regression.environment_changes)}", PLAIN
    if regression.silent:
        yield (
            f"{len(regression.silent)} cells have other values than the records although keys, versions and machine "
            "are the same; where outputs were meant to change, raise the component's revision:",
            YELLOW,
        )
        for name in regression.silent:
            yield f"  {name}", YELLOW


def _moved_line(moved: Moved) -> str:
    unit = f" {moved.unit}" if moved.unit else ""
    change = value_text(moved.fresh - moved.committed, moved.unit)
    sign = "" if change.startswith("-") else "+"
    return (
        f"{moved.name}, {REPORT_TITLES[moved.report].lower()}: {moved.metric} "
        f"{value_text(moved.committed, moved.unit)} -> {value_text(moved.fresh, moved.unit)}{unit} "
        f"({sign}{change}, allowed {value_text(moved.allowed, moved.unit)})"
    )
