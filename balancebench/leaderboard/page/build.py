"""Writes the page: one HTML file with its style, its script and its data, from which nothing is loaded.

Whoever names a component can choose strings that stand here, so every one of them is hostile: the template escapes, the
script only sets text, data stands in blocks that no parser reads as markup, and a policy in the file's head lets the
browser run this one script, use this one style and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from balancebench.leaderboard.board import Leaderboard
from balancebench.leaderboard.outcomes import Outcomes
from balancebench.leaderboard.page.contents import page_of
from balancebench.leaderboard.page.page_data import SIGNIFICANT_DIGITS, Page
from balancebench.leaderboard.records import without_folders
from balancebench.leaderboard.results import CellResult

__all__ = ["comparable", "page_html", "render"]

SCRIPTS = (
    "numbers.js",
    "estimates.js",
    "elements.js",
    "charts.js",
    "table.js",
    "detail.js",
    "compare.js",
    "downloads.js",
    "view.js",
)
BLOCK = re.compile(r'(<script type="application/octet-stream" id="[^"]*">)([A-Za-z0-9+/=]*)(</script>)')
COMMENT = re.compile(r"^\s*/\*.*?\*/", re.MULTILINE | re.DOTALL)
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def page_html(board: Leaderboard, cells: Sequence[CellResult] = (), outcomes: Outcomes | None = None) -> str:
    """Return the page of a leaderboard; the same results give the same text.

    cells, outcomes: what the leaderboard was built from; without them the page lacks what it would show of them, and
    says why. Absolute paths in messages and options lose their folders.
    """
    page = Page.model_validate(without_folders(page_of(board, cells, outcomes).model_dump(mode="json")))
    index = page.model_dump(mode="json", exclude={"tables"})
    index["tables"] = [
        table.model_dump(mode="json", include={"id", "task", "report", "report_title"}) for table in page.tables
    ]
    return render(
        "template.html.j2",
        "\n".join(_text(name) for name in SCRIPTS),
        page=page,
        index=_json(index),
        blocks=[(table.id, _block(table.model_dump(mode="json"))) for table in page.tables],
    )


def render(template: str, script: str, **fields: Any) -> str:
    """Return a template of this package with its fields, the style, a script and the policy that allows just these."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader(__package__ or __name__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = _lean(_text("page.css"))
    script = f'"use strict";\n(() => {{\n{_lean(script)}\n}})();\n'
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_hash(script)}'",
            f"style-src '{_hash(style)}'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    # Our own style and script, and JSON without any sign of markup, are not escaped; all else is.
    trusted = {"style": Markup(style), "script": Markup(script)}  # noqa: S704
    if "index" in fields:
        fields["index"] = Markup(fields["index"])  # noqa: S704
    return environment.get_template(template).render(policy=policy, **trusted, **fields)


def comparable(text: str) -> str:
    """Return a page with its blocks inflated: compressors differ between builds of Python, what they hold does not."""

    def inflated(match: re.Match[str]) -> str:
        try:
            return match[1] + zlib.decompress(base64.b64decode(match[2]), -zlib.MAX_WBITS).decode() + match[3]
        except (ValueError, zlib.error):
            return match[0]

    return BLOCK.sub(inflated, text)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).translate(
        _ESCAPES
    )


def _block(value: object) -> str:
    text = json.dumps(_rounded(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(text.encode()) + packer.flush()).decode("ascii")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def _lean(text: str) -> str:
    """Return a style or script without indentation and whole-line comments, which are a third of it."""
    lines = (line.strip() for line in COMMENT.sub("", text).splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


@cache
def _text(name: str) -> str:
    return (files(__package__ or __name__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
