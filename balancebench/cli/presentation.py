"""How commands show progress, tables, sizes and ages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from balancebench.cli.shared import console, errors_console

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["age_text", "duration_text", "print_table", "progress_bar", "size_text"]


def progress_bar(description: str) -> Progress:
    """Return a bar on the errors' console; it is seen on terminals alone."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    err = errors_console()
    columns = TextColumn(f"{description} {{task.description}}"), BarColumn(bar_width=24), TimeRemainingColumn()
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a plain table; columns of numbers are aligned right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim")
    for heading in headings:
        right = heading in ("size", "age", "folders", "results or folders")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(table)


def size_text(size_bytes: float) -> str:
    """Return "12.3 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def duration_text(seconds: float) -> str:
    """Return "2.3 h", "14 min" or "8 s"."""
    for unit, length_seconds in (("h", 3600), ("min", 60)):
        if seconds >= length_seconds:
            return f"{seconds / length_seconds:.{1 if unit == 'h' else 0}f} {unit}"
    return f"{seconds:.0f} s"


def age_text(seconds: float) -> str:
    """Return "3 days" or "25 min"."""
    for unit, length_seconds in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_seconds:
            return f"{seconds / length_seconds:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
