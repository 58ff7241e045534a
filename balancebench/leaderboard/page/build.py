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
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.leaderboard.board import Leaderboard
from balancebench.leaderboard.outcomes import Outcomes
from balancebench.leaderboard.page.contents import page_of
from balancebench.leaderboard.page.embedded_pictures import EmbeddedPicture, embedded
from balancebench.leaderboard.page.page_data import COUNT_ARRAYS, SIGNIFICANT_DIGITS, Page, PageTable
from balancebench.leaderboard.page.whole_numbers import packed_pairs, packed_rows
from balancebench.leaderboard.records import without_folders
from balancebench.leaderboard.results import CellResult
from balancebench.leaderboard.training_curves import Curves

__all__ = ["comparable", "page_html", "render", "unpacked_block"]

SCRIPTS = (
    "numbers.js",
    "estimates.js",
    "mixes.js",
    "elements.js",
    "tables.js",
    "charts.js",
    "table.js",
    "curves.js",
    "pictures.js",
    "detail.js",
    "compare.js",
    "downloads.js",
    "view.js",
)
BLOCK = re.compile(r'(<script type="application/octet-stream" id="[^"]*">)([^<]*)(</script>)')
# Signs of base 85 that markup is made of, and what stands for them: blocks are not escaped.
SIGNS, STAND_INS = "<>&", ".,:"
COMMENT = re.compile(r"^\s*/\*.*?\*/", re.MULTILINE | re.DOTALL)
_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def page_html(
    board: Leaderboard,
    cells: Sequence[CellResult] = (),
    outcomes: Outcomes | None = None,
    curves: Curves | None = None,
    pictures: Sequence[EmbeddedPicture] = (),
) -> str:
    """Return the page of a leaderboard; the same results give the same text.

    cells, outcomes: what the leaderboard was built from; curves: of the cells' trainings; pictures: that lie beside it.
    Without them the page lacks what it would show of them, and says why. Absolute paths in messages and options lose
    their folders.
    """
    page = Page.model_validate(
        without_folders(page_of(board, cells, outcomes, curves, pictures).model_dump(mode="json"))
    )
    tables = [table.model_dump(mode="json", include={"id", "task", "report", "report_title"}) for table in page.tables]
    program = _program("\n".join(_text(name) for name in SCRIPTS))
    return render(
        "template.html.j2",
        _lean(_text("loader.js")),
        programs=(program,),
        page=page,
        index=_json({"name": page.name, "tables": tables}),
        blocks=[
            ("program", _compressed(program.encode())),
            *(block for table in page.tables for block in _blocks(table)),
            *(
                (f"curves-{name}", _compressed_json({row: of.model_dump(mode="json") for row, of in of_rows.items()}))
                for name, of_rows in page.curves.items()
            ),
            *([("pictures", _compressed_json(files))] if (files := embedded(pictures)) else []),
        ],
    )


def render(template: str, script: str, *, programs: Sequence[str] = (), **fields: Any) -> str:
    """Return a template of this package with its fields, the style, a script and the policy that allows just these.

    programs: other scripts that the script may run.
    """
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
    policy = "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src", *(f"'{_hash(text)}'" for text in (script, *programs))]),
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
            return match[1] + unpacked_block(match[2]).decode("latin-1") + match[3]
        except (ValueError, zlib.error):
            return match[0]

    return BLOCK.sub(inflated, text)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).translate(
        _ESCAPES
    )


def _blocks(table: PageTable) -> Iterator[tuple[str, str]]:
    """Yield the blocks of a table, as (id, content): its data, and the counts that are packed."""
    data = table.model_dump(mode="json")
    if data["counts"] is not None:
        arrays = {name: np.array(data["counts"].pop(name) or [], dtype=np.int64) for name in COUNT_ARRAYS}
        yield f"counts-{table.id}", _compressed(_packed_counts(arrays, data["counts"]))
    yield f"data-{table.id}", _compressed_json(data)


def _packed_counts(arrays: Mapping[str, NDArray[np.int64]], counts: Mapping[str, Any]) -> bytes:
    """Return the arrays of counts as bytes; of sums what they have over squares, which is even, and half of it."""
    halves_PK = (arrays["sums_PK"] - arrays["squares_PK"]) // 2
    of_pairs = [arrays["squares_PK"], halves_PK]
    rows = len(counts["rows"])
    all_pairs = counts["pair_with"] is None
    return b"".join(
        [
            packed_rows(arrays["right_RSK"]),
            packed_rows(arrays["confusion_RKK"]),
            *(packed_pairs(of_PK, rows) if all_pairs else packed_rows(of_PK) for of_PK in of_pairs),
        ]
    )


def _compressed_json(value: object) -> str:
    text = json.dumps(_rounded(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return _compressed(text.encode())


def _compressed(content: bytes) -> str:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    text = base64.b85encode(packer.compress(content) + packer.flush()).decode("ascii")
    return text.translate(str.maketrans(SIGNS, STAND_INS))


def unpacked_block(text: str) -> bytes:
    """Return what a block of a page holds; raise ValueError or zlib.error where it is none."""
    return zlib.decompress(base64.b85decode(text.translate(str.maketrans(STAND_INS, SIGNS))), -zlib.MAX_WBITS)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def _program(text: str) -> str:
    """Return a script whose names are its own."""
    return f'"use strict";\n(() => {{\n{_lean(text)}\n}})();\n'


def _lean(text: str) -> str:
    """Return a style or script without indentation and whole-line comments, which are a third of it."""
    lines = (line.strip() for line in COMMENT.sub("", text).splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


@cache
def _text(name: str) -> str:
    return (files(__package__ or __name__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
