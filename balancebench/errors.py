"""The exceptions of balancebench.

BalancebenchError            everything a user can cause; printed as one or two lines, never as a traceback
├── SuiteError               a suite file is wrong; carries every mistake found, each with its place
├── PluginError              a plugin cannot be loaded, or two plugins offer one name
├── DataError                a data set is missing, broken or unfit for what was asked
├── BalancerError            a balancer cannot work on this training set (a class too small for SMOTE, say)
├── ClassifierError          a classifier cannot be trained as asked
├── StoreError               the store folder cannot be read or written
└── LeaderboardError         records are missing, stale or not comparable
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = [
    "BalancebenchError",
    "BalancerError",
    "ClassifierError",
    "DataError",
    "LeaderboardError",
    "Mistake",
    "PluginError",
    "StoreError",
    "SuiteError",
    "nearest",
]


class BalancebenchError(Exception):
    """Something a user can cause and mend; its message says what is wrong, where, and what would be right."""


class PluginError(BalancebenchError):
    """A plugin cannot be loaded, or two plugins offer one name."""


class DataError(BalancebenchError):
    """A data set is missing, broken or unfit for what was asked."""


class BalancerError(BalancebenchError):
    """A balancer cannot work on this training set."""


class ClassifierError(BalancebenchError):
    """A classifier cannot be trained as asked."""


class StoreError(BalancebenchError):
    """The store folder cannot be read or written."""


class LeaderboardError(BalancebenchError):
    """Records are missing, stale or not comparable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One mistake in a suite file: where it stands and what is wrong with it."""

    message: str
    table: str = ""
    key: str = ""
    line: int | None = None

    def __str__(self) -> str:
        location = " ".join(part for part in (self.table, self.key) if part)
        numbered = f"line {self.line}: " if self.line is not None else ""
        return f"{numbered}{location}: {self.message}" if location else f"{numbered}{self.message}"


class SuiteError(BalancebenchError):
    """A suite file is wrong; `mistakes` holds everything found in it, in the order of the file."""

    def __init__(self, path: str, mistakes: Sequence[Mistake]) -> None:
        self.path = path
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.line or 0))
        counted = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__("\n".join([f"{path}: {counted}", *(f"  {mistake}" for mistake in self.mistakes)]))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for the known name closest to `name`, or the known names, or nothing.

    >>> "there is no 'smoot'" + nearest("smoot", ["smote", "adasyn"])
    "there is no 'smoot' (did you mean 'smote'?)"
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f" (did you mean {close[0]!r}?)"
    if 0 < len(names) <= 20:
        return f" (known: {', '.join(names)})"
    return ""
