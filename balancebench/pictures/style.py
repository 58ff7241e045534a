"""How pictures look: colours that read on white and on dark pages, and the settings of every chart.

Text is a middle grey: its contrast is at least 4 on #ffffff and on #0d1117. Lines have at least 3 on both. The colours
of lines and areas are told apart by people who see no red, no green or no blue (the palette of Okabe and Ito, 2008,
with two of its colours darkened).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from balancebench.data import Origin

__all__ = [
    "BEST_COLOURS",
    "CARD",
    "CONFIG",
    "GREY",
    "ORIGIN_COLOURS",
    "REMOVED",
    "TEXT",
    "heading",
    "heat_colour",
]

TEXT = "#757b84"
GREY = "#808080"
CARD = "#eef2f6"
"""The ground of confusion matrices: opaque, so that their numbers have the same contrast on every page."""
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
BEST_COLOURS = ("#0a7bc4", "#d55e00", "#009e73", "#cc79a7")

REMOVED = "removed"
ORIGIN_COLOURS: dict[str, str] = {
    Origin.REAL.name.lower(): "#0a7bc4",
    Origin.REPEATED.name.lower(): "#c98500",
    Origin.AUGMENTED.name.lower(): "#009e73",
    Origin.SYNTHETIC.name.lower(): "#cc79a7",
    REMOVED: "#80808059",  # see-through, for what is not there any more
}

_LABELS = {
    "labelColor": TEXT,
    "titleColor": TEXT,
    "labelFontSize": 10,
    "titleFontSize": 11,
    "titleFontWeight": "normal",
}
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None},
    "title": {
        "color": TEXT,
        "subtitleColor": TEXT,
        "anchor": "start",
        "fontSize": 14,
        "subtitleFontSize": 11,
        "subtitlePadding": 4,
        "offset": 12,
    },
    "axis": {
        **_LABELS,
        "domainColor": GREY,
        "tickColor": GREY,
        "gridColor": GREY,
        "gridOpacity": 0.25,
        "tickSize": 4,
    },
    "header": {"labelColor": TEXT, "titleColor": TEXT, "labelFontSize": 11, "labelLimit": 230},
    "legend": {**_LABELS, "labelLimit": 260, "symbolStrokeWidth": 2},
}

# Stops of the ramp from a share of 0 to 1, light to dark blue.
_HEAT = ((0.0, (0xEE, 0xF2, 0xF6)), (0.05, (0xC6, 0xDB, 0xEF)), (0.5, (0x4F, 0x96, 0xC9)), (1.0, (0x08, 0x30, 0x6B)))


def heading(title: str, subject: str, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return a chart's title and, below it, what it is about, and lines of notes."""
    return {"text": title, "subtitle": [subject, *notes] if notes else subject}


def heat_colour(share: float) -> tuple[int, int, int]:
    """Return the colour of a share 0..1 as red, green and blue."""
    for (low, from_rgb), (high, to_rgb) in pairwise(_HEAT):
        if share <= high:
            part = (share - low) / (high - low)
            red, green, blue = (round(a + part * (b - a)) for a, b in zip(from_rgb, to_rgb, strict=True))
            return red, green, blue
    return _HEAT[-1][1]
