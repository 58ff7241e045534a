"""Pictures of kind `scores`: the metric that ranks, a row a balancer, with each seed and the spread between them."""

from __future__ import annotations

from typing import Any

from balancebench.leaderboard.board import Row
from balancebench.leaderboard.format import heading as metric_heading
from balancebench.leaderboard.picture_manifest import Picture
from balancebench.leaderboard.results import MetricHeader
from balancebench.pictures.drawing import Drawing, PictureOrder, sentences
from balancebench.pictures.scene import Scene, TaskScene, named_seeds
from balancebench.pictures.style import BEST_COLOURS, CONFIG, TEXT, heading
from balancebench.pictures.svg import svg_of

__all__ = ["scores_orders"]


def scores_orders(scene: Scene) -> list[PictureOrder]:
    """Return an order for each task whose suite has a metric that ranks."""
    orders: list[PictureOrder] = []
    for task in scene.tasks:
        metric = next((metric for metric in task.table.metrics if metric.label == task.table.ranked_by), None)
        if metric is None:
            continue
        rows = [row for row in task.table.rows if row.metrics[metric.label].over_seeds.mean is not None]
        if not rows:
            continue
        values = {_name(row): dict(row.metrics[metric.label].values) for row in rows}
        subject = f"{task.task}, {named_seeds(seed for seed_values in values.values() for seed in seed_values)}"
        title = f"{metric_heading(metric)} of each balancer"
        orders.append(
            PictureOrder(
                picture=Picture(
                    kind="scores",
                    dataset=task.task.dataset,
                    imbalancer=task.task.imbalancer,
                    classifier=task.task.classifier,
                    title=f"{title}: {subject}",
                    alt=f"A dot for the mean and one for each seed, one row a balancer, best first: {subject}.",
                ),
                source=[values, metric.model_dump(mode="json"), task.table.report],
                draw=lambda task=task, metric=metric, rows=rows, title=title, subject=subject: _draw(
                    task, metric, rows, title, subject
                ),
            )
        )
    return orders


def _draw(task: TaskScene, metric: MetricHeader, rows: list[Row], title: str, subject: str) -> Drawing:
    import altair as alt

    factor = 100 if metric.unit == "%" else 1
    means: list[dict[str, Any]] = []
    dots: list[dict[str, Any]] = []
    for row in rows:
        summary = row.metrics[metric.label]
        mean, std = summary.over_seeds.mean or 0.0, summary.over_seeds.std or 0.0
        colour = BEST_COLOURS[0] if row.role == "entry" else TEXT
        means.append(
            {
                "row": _name(row),
                "mean": round(factor * mean, 4),
                "low": round(factor * (mean - std), 4),
                "high": round(factor * (mean + std), 4),
                "colour": colour,
                "role": row.role,
            }
        )
        dots += [
            {"row": _name(row), "value": round(factor * value, 4), "colour": colour}
            for value in summary.values.values()
        ]
    names = [_name(row) for row in rows]
    y = alt.Y("row:N", sort=names, title=None, axis=alt.Axis(labelLimit=240, ticks=False, domain=False, grid=True))
    x_scale = alt.Scale(zero=False, nice=True)
    colour = alt.Color("colour:N", scale=None)
    data = alt.Data(values=means)
    floor = (
        alt.Chart(data)
        .transform_filter("datum.role == 'floor'")
        .mark_rule(color=TEXT, strokeDash=[6, 3])
        .encode(x=alt.X("mean:Q", scale=x_scale))
    )
    spread = (
        alt.Chart(data)
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.X("low:Q", scale=x_scale, title=metric_heading(metric), axis=alt.Axis(tickCount=6)),
            x2="high:Q",
            y=y,
            color=colour,
        )
    )
    middle = alt.Chart(data).mark_point(filled=True, size=70, opacity=1).encode(x="mean:Q", y=y, color=colour)
    seeds = (
        alt.Chart(alt.Data(values=dots))
        .mark_point(size=22, opacity=0.75, strokeWidth=1.2, yOffset=6)
        .encode(x="value:Q", y=y, color=colour)
    )
    chart = alt.layer(floor, spread, middle, seeds).properties(
        width=460, height=alt.Step(24), title=heading(title, subject), config=CONFIG
    )
    caption = sentences(
        "Filled dots are means over seeds, lines reach one standard deviation to each side, rings are the seeds.",
        "The dashed line is the floor." if any(row.role == "floor" for row in rows) else "",
        "Lower is better." if metric.higher_is_better is False else "",
        _missing(task, rows),
    )
    return Drawing(content=svg_of(chart, f"{title}: {subject}"), suffix="svg", caption=caption)


def _missing(task: TaskScene, rows: list[Row]) -> str:
    missing = [_name(row) for row in task.table.rows if row not in rows]
    return f"Left out because without a value: {', '.join(missing)}." if missing else ""


def _name(row: Row) -> str:
    return row.balancer if row.role == "entry" else f"{row.balancer} ({row.role})"
