"""Writes a page for each kind of component, made from the option models: what `balancebench show` prints, as tables.

The pages go to docs/reference/components/, which git ignores.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancebench.cli.option_text import option_rows
from balancebench.component import KINDS
from balancebench.registry import load_registry

if TYPE_CHECKING:
    from sphinx.application import Sphinx

    from balancebench.registry import RegisteredComponent

FOLDER = Path(__file__).parents[1] / "reference" / "components"
INTRODUCTION = (
    "Made from the components that are installed where this was built. `balancebench show NAME` prints the same."
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages before Sphinx looks for sources."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", link_to_page)
    return {"parallel_read_safe": True}


def link_to_page(_app: Sphinx, _page: str, source: list[str]) -> None:
    """Let links to CONTRIBUTING.md, which stands beside this folder, lead to the page that includes it."""
    source[0] = source[0].replace("](../CONTRIBUTING.md", "](contributing.md")


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
