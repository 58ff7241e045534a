"""Options and small things that several commands have in common."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from balancebench.cli.streams import PatientStream
from balancebench.errors import BalancebenchError
from balancebench.plain_text import shown_lines

if TYPE_CHECKING:
    from balancebench.execution.precision import PrecisionAdvice
    from balancebench.plan import Plan
    from balancebench.store import Store

__all__ = [
    "DEBUGGING",
    "INTERRUPTED",
    "SOME_FAILED",
    "USAGE",
    "DebugFlag",
    "JsonFlag",
    "ProfileOption",
    "SetOption",
    "StoreOption",
    "SuiteArgument",
    "bound_plan",
    "console",
    "errors_console",
    "parse_duration",
    "parse_size",
    "plans_of_all_profiles",
    "print_advice",
    "print_json",
    "whole_key",
]

SOME_FAILED, USAGE, INTERRUPTED = 1, 2, 130
SHORTEST_KEY = 6
PIPED_WIDTH = 1000


@dataclass(slots=True)
class Debugging:
    """Whether the command of this process was given --debug."""

    is_on: bool = False


DEBUGGING = Debugging()


def _note_debug(wanted: bool) -> bool:
    DEBUGGING.is_on = wanted
    return wanted


SuiteArgument = Annotated[
    Path,
    typer.Argument(
        help="The suite file, for example suites/quickstart.toml, or the name of one that ships with balancebench: "
        "quickstart, regression.",
        metavar="SUITE",
    ),
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="Replace values as \\[profile.NAME] of the suite says.", metavar="NAME")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Replace a value for this command, as a profile would: classifier.epochs=2, balancer.smote.neighbours=3, "
        "run.seeds=\\[0,1]. May be given several times. The results are none of the full suite's.",
        metavar="PATH=VALUE",
        show_default=False,
    ),
]
StoreOption = Annotated[
    Path,
    typer.Option("--store", help="Folder of the step results.", envvar="BALANCEBENCH_STORE", metavar="DIR"),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

DebugFlag = Annotated[
    bool,
    typer.Option("--debug", help="Show the traceback of whatever goes wrong, in a worker too.", callback=_note_debug),
]

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_DURATIONS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class _PlainConsole(Console):
    """A console on which no text steers the terminal, whoever wrote it: characters that do not show are spelled out.

    What it cannot write, on a full disk, ends no command; `balancebench.cli.streams` says so at the end.
    """

    @property
    def file(self) -> IO[str]:
        return cast("IO[str]", PatientStream(super().file))

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown_lines(segment.text))


def console() -> Console:
    """Return the console for what a command is asked for."""
    return _console(stderr=False)


def errors_console() -> Console:
    """Return the console for errors and warnings."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    """Return a console as wide as the terminal; what goes to a file or a pipe is not cut to the width of one."""
    created = _PlainConsole(stderr=stderr, highlight=False)
    if not created.is_terminal and "COLUMNS" not in os.environ:
        created.width = PIPED_WIDTH
    return created


def print_json(value: Any) -> None:
    """Print one JSON document."""
    import json
    import sys

    PatientStream(sys.stdout).write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def print_advice(out: Console, advice: PrecisionAdvice | None) -> None:
    """Print a line of advice, where there is any."""
    if advice is not None:
        out.print(advice.text, style="yellow" if advice.is_warning else "dim", markup=False, soft_wrap=True)


def bound_plan(suite: Path, profile: str | None, settings: Sequence[str] | None = None) -> Plan:
    """Return the plan of the suite at a path, with what --set says replaced; raise SuiteError with all its mistakes."""
    from balancebench.plan import expand
    from balancebench.registry import load_registry
    from balancebench.suite.bind import bind_suite
    from balancebench.suite.profiles import parse_changes

    return expand(bind_suite(suite, load_registry(), profile, parse_changes(settings or [])))


def plans_of_all_profiles(suite: Path) -> dict[str | None, Plan]:
    """Return the plan of the suite at a path as it is (None) and under each of its profiles."""
    import tomli

    unchanged = bound_plan(suite, None)
    profiles = tomli.loads(unchanged.suite.path.read_text(encoding="utf-8")).get("profile", {})
    return {None: unchanged, **{profile: bound_plan(suite, profile) for profile in profiles}}


def whole_key(store: Store, beginning: str) -> str:
    """Return the key of the one step of a store whose key begins so; raise BalancebenchError where there is not one."""
    if len(beginning) < SHORTEST_KEY:
        raise BalancebenchError(f"{beginning!r} is too short for a key; give at least {SHORTEST_KEY} characters")
    matching = [key for key in store.step_keys() if key.startswith(beginning)]
    if len(matching) != 1:
        raise BalancebenchError(
            f"{len(matching)} steps in {store.root} begin with {beginning!r}, not one; see balancebench store list"
        )
    return matching[0]


def parse_size(text: str | None) -> int | None:
    """Return the bytes of "2G", "512M" or a plain number."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if match is None:
        raise BalancebenchError(f"{text!r} is not a size; write 512M or 8G")
    return int(float(match.group(1)) * _UNITS[match.group(2)])


def parse_duration(text: str | None) -> float | None:
    """Return the seconds of "90", "90s", "10m" or "2h"."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if match is None or float(match.group(1)) <= 0:
        raise BalancebenchError(f"{text!r} is not a duration; write 90s, 10m or 2h")
    return float(match.group(1)) * _DURATIONS[match.group(2)]
