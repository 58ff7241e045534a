"""Reads a suite file as far as TOML goes, and refuses what no suite may hold, whatever table it stands in.

What comes through is tables, lists, texts that show, 64-bit integers, floats and truth values, nested no deeper than
`DEEPEST`: nothing after this door needs to think of anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import tomli

from balancebench.config import JSON
from balancebench.errors import Mistake, SuiteError, nearest
from balancebench.plain_text import hidden_character, visible
from balancebench.suite.locate import line_too_deep
from balancebench.suite.mistakes import Mistakes
from balancebench.suite.mistakes import Path as KeyPath
from balancebench.suite.schema import AXES
from balancebench.suite.shipped import SHIPPED, is_bare_name

__all__ = ["check_values", "deep_copy", "read_document"]

DEEPEST = 32  # brackets within each other, and parts of a dotted key
LARGEST_BYTES = 2**24
ONE_LINE = frozenset({"label", "name", "title", "use"})  # keys whose texts stand in tables and folders
ENTRIES = frozenset({*AXES, "exclude", "include", "published"})  # arrays of tables
_DECLARED_TWICE = re.compile(r"Cannot declare \('(\w+)',\) twice")
_AT_LINE = re.compile(r"at line (\d+)")
_LONG_NUMBER = re.compile(r"[0-9a-fA-F_]{1000}")


def read_document(path: Path) -> tuple[str, dict[str, JSON]]:
    """Return the text of a suite file and what TOML makes of it; raise SuiteError where it is none."""

    def refuse(message: str, line: int | None = None) -> SuiteError:
        return SuiteError(visible(str(path)), [Mistake(message=message, line=line)])

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise refuse(f"there is no such file{_suite_like(path)}") from None
    except IsADirectoryError:
        suites = sorted(sibling.name for sibling in path.glob("*.toml"))
        raise refuse(f"this is a directory, not a suite file{nearest('', suites)}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > LARGEST_BYTES:
        raise refuse(f"the file has {len(content)} bytes, and a suite at most {LARGEST_BYTES}", 1)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise refuse(f"the file is not UTF-8 text (byte {error.start})", line) from None
    if (line := line_too_deep(text, DEEPEST)) is not None:
        raise refuse(f"tables, lists or parts of a key are nested deeper than {DEEPEST}", line)
    try:
        return text, tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        named = _AT_LINE.search(str(error))
        line = int(named[1]) if named else _last_line(text)
        twice = _DECLARED_TWICE.match(str(error))
        if twice is not None and twice[1] in ENTRIES:
            hint = f"[{twice[1]}] stands here and [[{twice[1]}]] elsewhere: every entry has two brackets"
            raise refuse(hint, line) from None
        raise refuse(f"not valid TOML: {visible(str(error))}", line) from None
    except (ValueError, RecursionError):  # Python reads no integer of so many digits
        long_number = _LONG_NUMBER.search(text)
        line = _last_line(text) if long_number is None else text[: long_number.start()].count("\n") + 1
        raise refuse("a number has too many digits; integers have 64 bits", line) from None


def check_values(document: dict[str, JSON], mistakes: Mistakes) -> None:
    """Note every value that no suite may hold."""
    for at, value in _values(document, ()):
        key = at[-1]
        if isinstance(key, str) and (character := hidden_character(key)) is not None:
            mistakes.add(at, f"the key {visible(key)!r} holds {character}, a character that does not show")
        if isinstance(value, str):
            character = hidden_character(value, lines=key not in ONE_LINE)
            if character is not None:
                mistakes.add(at, f"the text holds {character}, a character that does not show; leave it out")
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            mistakes.add(at, "the integer is too large; integers have 64 bits")
        elif not isinstance(value, (bool, int, float, dict, list)):
            mistakes.add(at, f"a {type(value).__name__} is no value of a suite; write it as text, in quotes")


def deep_copy(document: dict[str, JSON]) -> dict[str, JSON]:
    """Return the document with tables and lists of its own."""

    def copied(value: JSON) -> JSON:
        if isinstance(value, dict):
            return {key: copied(inner) for key, inner in cast("dict[str, JSON]", value).items()}
        if isinstance(value, list):
            return [copied(inner) for inner in cast("list[JSON]", value)]
        return value

    return copied(document)


def _values(value: Any, at: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if at:
        yield at, value
    entries: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from _values(inner, (*at, key))


def _last_line(text: str) -> int:
    return text.count("\n") + 1


def _suite_like(path: Path) -> str:
    """Return " (did you mean 'suites/quickstart.toml'?)" for a file of nearly this name beside it or in suites/.

    So with the name of a suite that ships with balancebench; a bare name that is like none gets all of these.
    """
    candidates = {
        candidate.relative_to(path.parent)
        for candidate in (*path.parent.glob("*.toml"), *path.parent.glob("suites/*.toml"))
    }
    by_stem = {name: name for name in SHIPPED} | {
        candidate.stem: str(candidate)
        for candidate in sorted(candidates, reverse=True)
        if candidate.name != "pyproject.toml"
    }
    close = get_close_matches(path.stem, by_stem, n=1)
    if close:
        return f" (did you mean {by_stem[close[0]]!r}?)"
    return f" (suites that come with balancebench: {', '.join(SHIPPED)})" if is_bare_name(path) else ""
