"""Turns charts into small SVG files: the same chart gives the same bytes, in every process."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from balancebench.pictures.style import FONT

__all__ = ["compact_svg", "svg_of"]

SVG = "http://www.w3.org/2000/svg"
_INVISIBLE = {"class", "role", "pointer-events", "stroke-miterlimit", "version"}
_NUMBERS = {"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "viewBox", "points"}
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?|-?\d+e-?\d+")
_DEFAULTS = {"opacity": "1", "stroke-width": "1", "y2": "0", "x2": "0", "font-weight": "normal", "text-anchor": "start"}


def svg_of(chart: Any, alt: str) -> bytes:
    """Return an altair chart as a compact SVG whose description is `alt`."""
    import vl_convert

    return compact_svg(vl_convert.vegalite_to_svg(chart.to_dict()), alt)


def compact_svg(text: str, alt: str) -> bytes:
    """Return the same picture in fewer bytes: nothing invisible, coordinates to a tenth of a pixel."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own renderer wrote it
    _shrink(root)
    for element in root.iter():
        if element.get("font-family") == FONT:
            del element.attrib["font-family"]
    root.set("font-family", FONT)
    root.set("role", "img")
    description = ElementTree.Element(f"{{{SVG}}}desc")
    description.text = alt
    root.insert(0, description)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _shrink(parent: ElementTree.Element) -> None:
    _clean(parent)
    kept: list[ElementTree.Element] = []
    for child in list(parent):
        if child.tag != f"{{{SVG}}}defs":  # clip paths paint nothing and are needed all the same
            _shrink(child)
        if _is_seen(child):
            # A group that says nothing is replaced by what it holds.
            kept += list(child) if child.tag == f"{{{SVG}}}g" and not child.attrib else [child]
        parent.remove(child)
    parent.extend(kept)


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
        elif name.endswith("opacity") or name == "stroke-width":
            element.set(name, _NUMBER.sub(_rounded(2), value))


def _rounded(decimals: int) -> Callable[[re.Match[str]], str]:
    def text(found: re.Match[str]) -> str:
        number = round(float(found.group()), decimals) + 0.0
        return f"{number:.{decimals}f}".rstrip("0").rstrip(".")

    return text
