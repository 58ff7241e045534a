"""Finds the line on which a key of a TOML file stands; TOML parsers keep no positions."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["Lines", "line_numbers", "line_too_deep"]

Path = tuple["str | int", ...]
Lines = dict[Path, int]

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_ARRAY_HEADER = re.compile(rf"\s*\[\[\s*({_DOTTED})\s*\]\]")
_HEADER = re.compile(rf"\s*\[\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_INLINE_KEY = re.compile(rf"[{{,]\s*({_KEY})\s*=")
# A string (closed on its line), an opening of a multi-line string, a comment, or a bracket.
_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]')


def line_numbers(text: str) -> Lines:
    """Return the line (from 1) of every table and key of a valid TOML text.

    Keys are paths as the parsed document has them, ("balancer", 1, "epochs"); keys inside inline tables are listed
    below their own key. Elements of arrays have no entry: look for the longest known prefix.
    """
    lines: Lines = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    depth = 0
    fence = ""  # the quotes that close a multi-line string, while inside one
    assigned: Path = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if not fence and depth == 0:
            if header := _ARRAY_HEADER.match(line):
                name = _resolve(_split(header.group(1)), counts)
                counts[name] = counts.get(name, -1) + 1
                table = (*name, counts[name])
                lines[table] = number
                lines.setdefault(name, number)
                continue
            if header := _HEADER.match(line):
                table = _resolve(_split(header.group(1)), counts)
                lines.setdefault(table, number)
                continue
            if assignment := _ASSIGNMENT.match(line):
                assigned = (*table, *_split(assignment.group(1)))
                lines.setdefault(assigned, number)
        if not fence:
            for inline in _INLINE_KEY.finditer(line):
                lines.setdefault((*assigned, *_split(inline.group(1))), number)
        depth, fence, _ = _scan(line, depth, fence)
    return lines


def line_too_deep(text: str, deepest: int) -> int | None:
    """Return the first line on which brackets are nested deeper, or a key has more parts; the text may be no TOML."""
    depth, fence = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not fence and max(_parts(line), default=0) > deepest:
            return number
        depth, fence, peak = _scan(line, max(0, depth), fence)
        if peak > deepest:
            return number
    return None


def _parts(line: str) -> Iterator[int]:
    """Yield how many parts the dotted keys of a line have, as far as they stand where keys do."""
    for dotted in re.finditer(rf"(?:^|[\[{{,])\s*({_DOTTED})\s*[=\]]", line):
        yield len(_split(dotted.group(1)))


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.findall(_KEY, dotted))


def _resolve(name: tuple[str, ...], counts: dict[Path, int]) -> Path:
    """Insert the current index after every part that names an array of tables: [balancer.base] is of the last one."""
    path: Path = ()
    for position, part in enumerate(name):
        path = (*path, part)
        if position < len(name) - 1 and path in counts:
            path = (*path, counts[path])
    return path


def _scan(line: str, depth: int, fence: str) -> tuple[int, str, int]:
    """Return depth and fence after a line, and the greatest depth on it."""
    position, peak = 0, depth
    while True:
        if fence:
            end = line.find(fence, position)
            if end < 0:
                return depth, fence, peak
            position, fence = end + 3, ""
        token = _TOKEN.search(line, position)
        if token is None:
            return depth, fence, peak
        position = token.end()
        if token.group() in ('"""', "'''"):
            fence = token.group()
        elif token.group() in "[{":
            depth += 1
            peak = max(peak, depth)
        elif token.group() in "]}":
            depth -= 1
