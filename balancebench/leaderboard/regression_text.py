"""A comparison with committed records as lines for a reader."""

from __future__ import annotations

from collections.abc import Iterator

from balancebench.leaderboard.format import REPORT_TITLES, value_text
from balancebench.leaderboard.regress import Moved, Regression

__all__ = ["regression_lines"]

RED, YELLOW, GREEN, PLAIN = "red", "yellow", "green", "default"


def regression_lines(found: Regression) -> Iterator[tuple[str, str]]:
    """Yield lines and their colours: what moved, then what explains it, then the verdict."""
    yield from _what_moved(found)
    yield from _what_explains_it(found)
    compared = f"{found.unchanged} values unchanged, {found.within} within the seeds' spread, {len(found.moved)} moved"
    others = len(found.changed) + len(found.failing) + len(found.vanished)
    if found.failed:
        yield f"Moved: {compared}, {others} other changes.", RED
    else:
        yield f"Nothing moved: {compared}.", GREEN


def _what_moved(found: Regression) -> Iterator[tuple[str, str]]:
    for moved in found.moved:
        yield _moved_line(moved), RED
    for change in (*found.changed, *found.failing, *found.vanished):
        yield f"{change.name}: {change.text}", RED
    for change in found.mended:
        yield f"{change.name}: {change.text}", GREEN
    for name in found.new:
        yield f"{name}: new, not in the records", YELLOW


def _what_explains_it(found: Regression) -> Iterator[tuple[str, str]]:
    if found.key_changes:
        yield "Steps have other keys than the records because of:", PLAIN
        for change in found.key_changes:
            cells = "1 cell" if change.cells == 1 else f"{change.cells} cells"
            yield f"  {change.stage}: {change.text} ({cells})", PLAIN
    elif found.failed:
        yield "No step has another key than the records.", PLAIN
    if found.environment_changes:
        yield f"The records were made with another environment: {'; '.join(found.environment_changes)}", PLAIN
    if found.silent:
        yield (
            f"{len(found.silent)} cells have other values than the records although keys, versions and machine are the "
            "same; where outputs were meant to change, raise the component's revision:",
            YELLOW,
        )
        for name in found.silent:
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
