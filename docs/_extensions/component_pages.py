"""Writes a page for each kind of component, made from the option models: what `balancebench show` prints, as tables.

The pages go to docs/reference/components/, which git ignores. Files that stand outside docs/, such as the plugins'
READMEs, are read into the pages that include them, with their links led to pages of the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancebench.cli.option_text import option_rows
from balancebench.component import KINDS
from balancebench.registry import load_registry

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from balancebench.registry import RegisteredComponent

DOCS = Path(__file__).parents[1]
FOLDER = DOCS / "reference" / "components"
INTRODUCTION = (
    "Made from the components that are installed where this was built. `balancebench show NAME` prints the same."
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for sources."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", include_with_links)
    return {"parallel_read_safe": True}


def include_with_links(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the files that a page includes in their place, with links that hold on the site.

    Links of a plugin's README start at its folder: one to a page of docs/ becomes a link to that page, one to a
    committed board a link to the board that `balancebench site` makes beside the pages.
    """
    text = source[0].replace("](../CONTRIBUTING.md", "](contributing.md")
    here = (DOCS / page).parent
    for block, included in re.findall(r"(```\{include\} (\S+)\n```)", text):
        path = (here / included).resolve()
        app.env.note_dependency(path)
        text = text.replace(block, _links_of_site(path.read_text(encoding="utf-8")))
    source[0] = text


def _links_of_site(readme: str) -> str:
    readme = re.sub(
        r"\[([^]]+)\]\(\.\./\.\./leaderboard/([^/)]+)/leaderboard\.md\)",
        r'<a href="../leaderboards/\2/index.html">\1</a>',
        readme,
    )
    return readme.replace("](../../docs/", "](../")


def write_pages(_app: Sphinx) -> None:
    """Write one page for each kind, leaving alone what has not changed, so that nothing is built again for it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    registry = load_registry()
    for kind in KINDS:
        lines = [f"# {kind.capitalize()}s", "", INTRODUCTION, ""]
        for registered in registry.all(kind):
            lines += _component(registered)
        text = "\n".join(lines)
        path = FOLDER / f"{kind}s.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _component(registered: RegisteredComponent) -> list[str]:
    component = registered.component
    lines = [f"## {component.name}", "", f"{_escaped(component.summary)} From `{registered.distribution}`.", ""]
    if component.citation:
        lines += [f"*{_escaped(component.citation)}*", ""]
    rows = option_rows(component.options)
    if not rows:
        return [*lines, "It has no options.", ""]
    lines += ["| option | type | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {' | '.join(map(_escaped, rest))} |" for name, *rest in rows]
    return [*lines, ""]


def _escaped(text: str) -> str:
    for character in "\\`*_{}[]<>|#":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
