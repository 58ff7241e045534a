"""Small multiples: charts of one size in rows of three, with axes on the left and at the bottom alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from balancebench.pictures.style import CONFIG, TEXT, heading

__all__ = ["COLUMNS", "small_multiples"]

COLUMNS = 3

DrawPanel = Callable[[str, bool, bool], Any]
"""draw(panel, left, bottom) -> altair chart; left, bottom: it stands there and shows its axis."""


def small_multiples(
    panels: Sequence[str],
    draw: DrawPanel,
    title: str,
    subject: str,
    *,
    columns: int = COLUMNS,
    notes: Sequence[str] = (),
) -> Any:
    """Return a chart of all panels, each under its name, `columns` in a row. notes: lines below the subject."""
    import altair as alt

    charts: list[Any] = []
    for index, panel in enumerate(panels):
        name = {"text": panel, "fontSize": 11, "fontWeight": "normal", "anchor": "middle", "offset": 4, "limit": 240}
        chart = draw(panel, index % columns == 0, index + columns >= len(panels))
        charts.append(chart.properties(title={**name, "color": TEXT}))
    return alt.concat(*charts, columns=columns, spacing=14).properties(
        title=heading(title, subject, notes), config=CONFIG
    )
