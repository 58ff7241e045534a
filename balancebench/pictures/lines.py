"""Line charts over epochs: the mean over seeds with a band from the lowest to the highest seed.

Axis suffixes: S seeds, E epochs, P points of a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from balancebench.pictures.style import CONFIG, heading

__all__ = ["AxisScale", "Line", "Panel", "Strokes", "are_unlike", "axis_scale", "line_chart", "thinned"]

MOST_POINTS = 100
UNLIKE = 10
"""Past this ratio of their sizes, lines that share a plain axis leave the smaller ones flat at its foot."""
AxisScale = Literal["linear", "log", "symlog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a panel. name: in the legend, shared by lines that are not told apart. values_SE: NaN are holes."""

    row: str
    name: str
    values_SE: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Lines over a common axis, whose format is in d3's words ("%", "~g"). scale: see `axis_scale`."""

    title: str
    format: str
    lines: Sequence[Line]
    scale: AxisScale = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strokes:
    """How the lines of a name look; only wide ones have a band."""

    colour: str
    dash: tuple[int, ...] = (1, 0)
    width: float = 2.0
    opacity: float = 1.0


def are_unlike(lines: Sequence[Line]) -> bool:
    """Return whether the sizes of lines, the medians of their magnitudes, lie further apart than `UNLIKE`."""
    sizes = [size for line in lines if (size := _size(line)) > 0]
    return bool(sizes) and max(sizes) > UNLIKE * min(sizes)


def axis_scale(lines: Sequence[Line]) -> AxisScale:
    """Return the scale on which all lines can be read: a logarithm where they are unlike, symmetric if one meets 0."""
    if not are_unlike(lines):
        return "linear"
    lowest = min(float(np.min(line.values_SE, initial=np.inf, where=np.isfinite(line.values_SE))) for line in lines)
    return "log" if lowest > 0 else "symlog"


def _size(line: Line) -> float:
    values = line.values_SE[np.isfinite(line.values_SE)]
    return float(np.median(np.abs(values))) if len(values) else 0.0


def thinned(values_SE: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Return the means of as many epochs in a row as leave at most 100 points, and how many epochs these are.

    Epochs without a value do not count; a point of none is NaN.
    """
    together = -(-values_SE.shape[1] // MOST_POINTS)
    starts = np.arange(0, values_SE.shape[1], together)
    valued_SE = np.isfinite(values_SE)
    counts_SP = np.add.reduceat(valued_SE.astype(np.float64), starts, axis=1)
    sums_SP = np.add.reduceat(np.where(valued_SE, values_SE, 0.0), starts, axis=1)
    return np.divide(sums_SP, counts_SP, out=np.full_like(sums_SP, np.nan), where=counts_SP > 0), together


def line_chart(
    panels: Sequence[Panel],
    strokes: Mapping[str, Strokes],
    title: str,
    subject: str,
    panel_width: int,
    *,
    by_share: bool = False,
    counted: str = "epoch",
) -> Any:
    """Return panels side by side under one legend, in the order of `strokes`.

    by_share: the axis is the share of each line's own epochs, for lines of very different numbers of them. counted:
    what the axis is labelled with otherwise.
    """
    import altair as alt

    names = list(strokes)

    def scale(values: list[Any]) -> Any:
        return alt.Scale(type="ordinal", domain=names, range=values)

    legend = alt.Legend(orient="bottom", columns=3, title=None, symbolSize=300, offset=12)
    # A line of one epoch would not be seen.
    is_dot = all(line.values_SE.shape[1] == 1 for panel in panels for line in panel.lines)
    mark: Any = alt.MarkDef(type="line", strokeJoin="round", point=alt.OverlayMarkDef(size=40) if is_dot else False)
    charts: list[Any] = []
    for panel in panels:
        data = alt.Data(values=[point for line in panel.lines for point in _points(line, strokes[line.name], by_share)])
        x = alt.X(
            "share:Q" if by_share else "epoch:Q",
            title="share of the training" if by_share else counted,
            scale=alt.Scale(nice=False),
            axis=alt.Axis(format="%", tickCount=5) if by_share else alt.Axis(tickMinStep=1, tickCount=5),
        )
        y_axis = alt.Axis(format=panel.format, tickCount=6)
        lines = alt.Chart(mark=mark).encode(
            x=x,
            y=alt.Y("mean:Q", title=None, scale=_y_scale(panel), axis=y_axis),
            detail="row:N",
            color=alt.Color("name:N", scale=scale([stroke.colour for stroke in strokes.values()]), legend=legend),
            strokeDash=alt.StrokeDash(
                "name:N", scale=scale([list(stroke.dash) for stroke in strokes.values()]), legend=legend
            ),
            strokeWidth=alt.StrokeWidth(
                "name:N", scale=scale([stroke.width for stroke in strokes.values()]), legend=legend
            ),
            strokeOpacity=alt.StrokeOpacity(
                "name:N", scale=scale([stroke.opacity for stroke in strokes.values()]), legend=legend
            ),
        )
        bands = (
            alt.Chart()
            .transform_filter("isValid(datum.low)")
            .mark_area(opacity=0.15)
            .encode(
                x=x,
                y=alt.Y("low:Q"),
                y2="high:Q",
                detail="row:N",
                fill=alt.Fill("colour:N", scale=None),
            )
        )
        heading_of_panel = {"text": panel.title, "fontSize": 11, "fontWeight": "normal", "offset": 4}
        charts.append(
            alt.layer(bands, lines, data=data).properties(width=panel_width, height=200, title=heading_of_panel)
        )
    return alt.hconcat(*charts, spacing=48, bounds="flush").properties(title=heading(title, subject), config=CONFIG)


def _y_scale(panel: Panel) -> Any:
    import altair as alt

    if panel.scale == "symlog":  # a logarithm beyond the smallest line's size, plain around 0
        return alt.Scale(type="symlog", constant=min(size for line in panel.lines if (size := _size(line)) > 0))
    return alt.Scale(type="log") if panel.scale == "log" else alt.Scale(zero=False)


def _rounded(value: float) -> float:
    """Return six digits: logarithms show small values as well as large ones."""
    return float(f"{value:.6g}")


def _points(line: Line, strokes: Strokes, by_share: bool) -> list[dict[str, Any]]:
    """Return the points of a line at the last of the epochs that each stands for, counted from 1."""
    values_SE, together = thinned(line.values_SE)
    epochs = line.values_SE.shape[1]
    banded = len(values_SE) > 1 and strokes.width > 1
    points: list[dict[str, Any]] = []
    for index in range(values_SE.shape[1]):
        values_S = values_SE[:, index]
        if not np.isfinite(values_S).all():
            continue
        epoch = min(epochs, (index + 1) * together)
        point = {
            "row": line.row,
            "name": line.name,
            "colour": strokes.colour,
            **({"share": round(epoch / epochs, 5)} if by_share else {"epoch": epoch}),
            "mean": _rounded(float(values_S.mean())),
        }
        band = {"low": _rounded(float(values_S.min())), "high": _rounded(float(values_S.max()))} if banded else {}
        points.append({**point, **band})
    return points
