"""Text that shows as what it is: without characters that steer a terminal, break a line or cannot be seen.

Names come from suites, folders, plugins and committed records, and go to terminals, Markdown, CSV, HTML and pictures.
Where a name enters it is refused (`hidden_character`); what is only told, a failure's message or a file's path, is
shown with such characters spelled out (`visible`).
"""

from __future__ import annotations

import re

__all__ = ["hidden_character", "shown_lines", "visible"]

# Control characters, separators of lines, overrides of the direction of writing, halves of pairs, what no XML may hold.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_HIDDEN_IN_LINES = re.compile("(?![\n\t])" + _HIDDEN.pattern)


def hidden_character(text: str, *, lines: bool = False) -> str | None:
    """Return the first character of a text that does not show, as "U+001B", or None. lines: \\n and \\t may stand."""
    match = (_HIDDEN_IN_LINES if lines else _HIDDEN).search(text)
    return None if match is None else f"U+{ord(match.group()):04X}"


def visible(text: str) -> str:
    """Return one line in which every character shows: "\\x1b" in the place of an escape."""
    return _HIDDEN.sub(_spelled, text)


def shown_lines(text: str) -> str:
    """Return the same of a text of several lines, which may be indented by tabs."""
    return _HIDDEN_IN_LINES.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    return ascii(match.group())[1:-1]
