"""Turns charts into small SVG files: the same chart gives the same bytes, in every process."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from balancebench.config import JSON
from balancebench.pictures.style import FONT
from balancebench.plain_text import shown_lines, visible

__all__ = ["compact_svg", "svg_of"]

SVG = "http://www.w3.org/2000/svg"
GROUP = f"{{{SVG}}}g"
_INVISIBLE = {"class", "role", "pointer-events", "stroke-miterlimit", "version"}
_NUMBERS = {"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "viewBox", "points"}
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?|-?\d+e-?\d+")
_MOVED = re.compile(r"translate\(([-\d.]+),([-\d.]+)\)")
_INHERITED = ("font-size", "text-anchor", "fill", "stroke", "stroke-width")
_DEFAULTS = {"opacity": "1", "stroke-width": "1", "y2": "0", "x2": "0", "font-weight": "normal", "text-anchor": "start"}


def svg_of(chart: Any, alt: str) -> bytes:
    """Return an altair chart as a compact SVG whose description is `alt`."""
    import vl_convert

    # Of a character that no XML may hold the renderer does not raise: it ends the process.
    return compact_svg(vl_convert.vegalite_to_svg(_shown(chart.to_dict())), visible(alt))


def _shown(value: JSON) -> JSON:
    """Return a chart's document in whose texts every character shows."""
    if isinstance(value, str):
        return shown_lines(value)
    if isinstance(value, dict):
        return {shown_lines(str(key)): _shown(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(inner) for inner in value]
    return value


def compact_svg(text: str, alt: str) -> bytes:
    """Return the same picture in fewer bytes: nothing invisible, coordinates to a tenth of a pixel."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own renderer wrote it
    _shrink(root)
    for element in root.iter():
        if element.get("font-family") == FONT:
            del element.attrib["font-family"]
    _lift(root)
    root.set("font-family", FONT)
    root.set("role", "img")
    description = ElementTree.Element(f"{{{SVG}}}desc")
    description.text = alt
    root.insert(0, description)
    return ElementTree.tostring(root, encoding="utf-8").replace(b" />", b"/>") + b"\n"  # texts have no bare ">"


def _shrink(parent: ElementTree.Element) -> None:
    _clean(parent)
    kept: list[ElementTree.Element] = []
    for child in list(parent):
        if child.tag != f"{{{SVG}}}defs":  # clip paths paint nothing and are needed all the same
            _shrink(child)
        if _is_seen(child):
            # A group of groups that says nothing is replaced by what it holds.
            is_shell = child.tag == GROUP and not child.attrib and (len(child) == 1 or child[0].tag == GROUP)
            kept += list(child) if is_shell else [child]
        parent.remove(child)
    parent.extend(kept)


def _lift(group: ElementTree.Element) -> None:
    """Say once, on the group, what most of its elements say, where all of them say something."""
    for child in group:
        _lift(child)
    for name in _INHERITED:
        values = Counter(child.get(name, "") for child in group)
        if len(group) > 1 and "" not in values and name not in group.attrib:
            common = values.most_common(1)[0][0]
            group.set(name, common)
            for child in group:
                if child.get(name) == common:
                    del child.attrib[name]


def _is_seen(element: ElementTree.Element) -> bool:
    kind = element.tag.removeprefix(f"{{{SVG}}}")
    if element.get("display") == "none" or (kind == "g" and len(element) == 0):
        return False
    if kind == "path":
        return bool(element.get("d")) and (_paints(element, "fill") or _paints(element, "stroke"))
    return kind != "line" or _paints(element, "stroke")


def _paints(element: ElementTree.Element, part: str) -> bool:
    # Paths inherit fill="none" from the root.
    return element.get(part, "none") not in ("none", "transparent")


def _clean(element: ElementTree.Element) -> None:
    for name, value in list(element.attrib.items()):
        if name in _INVISIBLE or name.startswith("aria-") or _DEFAULTS.get(name) == value:
            del element.attrib[name]
        elif name in _NUMBERS:
            rounded = _NUMBER.sub(_rounded(1), value)
            element.set(name, rounded)
            if name == "transform" and rounded in ("translate(0,0)", ""):
                del element.attrib[name]
            elif element.tag == f"{{{SVG}}}text" and (moved := _MOVED.fullmatch(rounded)):
                del element.attrib[name]
                element.set("x", moved[1])
                element.set("y", moved[2])
        elif name.endswith("opacity") or name == "stroke-width":
            element.set(name, _NUMBER.sub(_rounded(2), value))


def _rounded(decimals: int) -> Callable[[re.Match[str]], str]:
    def text(match: re.Match[str]) -> str:
        number = round(float(match.group()), decimals) + 0.0
        return f"{number:.{decimals}f}".rstrip("0").rstrip(".")

    return text
