"""Gains by made images over a measure of the training subset, one point a task, beside a published curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from balancebench.advice import Relation
from balancebench.leaderboard.gains import TaskGains
from balancebench.pictures.drawing import Drawing, sentences
from balancebench.pictures.style import BEST_COLOURS, CONFIG, TEXT, heading
from balancebench.pictures.svg import svg_of

__all__ = ["gain_drawing"]

CURVE_POINTS = 60
TITLE = "What made images gained, and how alike the images were"


def gain_drawing(tasks: Sequence[TaskGains], relation: Relation) -> Drawing:
    """Return the chart. tasks: at least one; of each the first row is the point, the others are ticks."""
    import altair as alt

    points: list[dict[str, Any]] = []
    ticks: list[dict[str, Any]] = []
    for task in tasks:
        best, *others = task.rows
        about = {"measure": round(task.measure, 4)}
        interval = (
            {} if best.interval is None else {"low": round(best.interval.low, 3), "high": round(best.interval.high, 3)}
        )
        label = f"{task.task}: {best.balancer}"
        points.append({**about, "gain": round(best.gain, 3), **interval, "label": label})
        ticks += [{**about, "gain": round(row.gain, 3)} for row in others]
    curve = [
        {"measure": round(float(measure), 4), "gain": round(relation.gain(float(measure)), 3), "name": relation.name}
        for measure in np.linspace(*relation.seen, CURVE_POINTS)
    ]
    x = alt.X("measure:Q", title=relation.title, scale=alt.Scale(zero=False, nice=True, padding=20))
    y = alt.Y("gain:Q", title="gain over the floor, % of the floor")
    lines = [
        alt.Chart(alt.Data(values=[{"gain": 0}])).mark_rule(color=TEXT, strokeDash=[6, 3]).encode(y=y),
        alt.Chart(alt.Data(values=curve)).mark_line(color=TEXT, opacity=0.45, strokeWidth=1.5).encode(x=x, y=y),
        alt.Chart(alt.Data(values=curve[:1]))
        .mark_text(color=TEXT, opacity=0.8, align="left", dx=10, fontSize=10)
        .encode(x=x, y=y, text="name:N"),
    ]
    data = alt.Data(values=points)
    marks = [
        alt.Chart(alt.Data(values=ticks))
        .mark_tick(color=BEST_COLOURS[0], orient="horizontal", opacity=0.6, size=14, thickness=1.5)
        .encode(x=x, y=y),
        alt.Chart(data)
        .transform_filter("isValid(datum.low)")
        .mark_rule(color=BEST_COLOURS[0], strokeWidth=2)
        .encode(x=x, y=alt.Y("low:Q", title="gain over the floor, % of the floor"), y2="high:Q"),
        alt.Chart(data).mark_point(color=BEST_COLOURS[0], filled=True, size=70, opacity=1).encode(x=x, y=y),
        alt.Chart(data)
        .mark_text(color=TEXT, align="right", dx=-8, dy=-12, fontSize=10, limit=300)
        .encode(x=x, y=y, text="label:N"),
    ]
    suites = ", ".join(dict.fromkeys(task.suite for task in tasks))
    chart = alt.layer(*lines, *marks).properties(
        width=560, height=320, title=heading(TITLE, f"suites: {suites}"), config=CONFIG
    )
    caption = sentences(
        "A point a task: of its rows that add made images the one ranked first, which flatters it; ticks are others.",
        "Bars are 95 % intervals of the difference from the floor, the floor's value taken as it is.",
        f"The faint line is {relation.name}, over the values that it was fitted to.",
    )
    return Drawing(content=svg_of(chart, TITLE), suffix="svg", caption=caption)
