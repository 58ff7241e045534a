"""Pictures of kind `classes`: how many images of each class were trained on, by origin, and how many before balancing.

Axis suffix: K classes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.subset import SubsetDescription
from balancebench.artefacts.training_result import TrainingDescription
from balancebench.config import JSON
from balancebench.data import Origin
from balancebench.leaderboard.picture_manifest import Picture
from balancebench.pictures.drawing import Drawing, PictureOrder, sentences
from balancebench.pictures.grid import small_multiples
from balancebench.pictures.scene import Scene, TaskScene, named_seeds
from balancebench.pictures.style import ORIGIN_COLOURS, REMOVED, TEXT
from balancebench.pictures.svg import svg_of

__all__ = ["Panel", "class_panels", "classes_orders"]

LABELLED_CLASSES = 20
"""Up to here classes are bars with names; beyond, steps along an axis of ranks."""
BEFORE: dict[str, Any] = {"fill": "#ffffff", "stroke": "#1b1f24", "strokeWidth": 0.7}
TITLE = "Training images of each class, before and after balancing"

Counts: TypeAlias = "NDArray[np.float64]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The class counts that some balancers have in common, means over seeds.

    balancers: names, with the phase where a plan has phases over different images. before_K: images kept by the
    imbalance. after: origin -> images of each class trained on.
    """

    balancers: tuple[str, ...]
    before_K: Counts
    after: Mapping[str, Counts]

    @property
    def removed_K(self) -> Counts:
        """Images of each class that were kept by the imbalance and are not trained on."""
        real_K = self.after.get(Origin.REAL.name.lower(), np.zeros_like(self.before_K))
        return (self.before_K - real_K).clip(min=0)


def classes_orders(scene: Scene) -> list[PictureOrder]:
    """Return an order for each dataset and imbalancer of which a classifier was trained."""
    orders: list[PictureOrder] = []
    for (dataset, imbalancer), tasks in scene.by_images().items():
        trained = _trained(scene, tasks)
        if not trained:
            continue
        seeds = named_seeds(seed for steps in trained.values() for seed in steps)
        subject = f"{dataset} / {imbalancer}, {seeds}"
        note = scene.not_done_note([row for row in tasks[0].rows if row.role != "ceiling"], "train")
        orders.append(
            PictureOrder(
                picture=Picture(
                    kind="classes",
                    dataset=dataset,
                    imbalancer=imbalancer,
                    title=f"{TITLE}: {subject}",
                    alt=f"Bars of the training images of each class for each balancer, by origin: {subject}.",
                ),
                source={"note": note, "rows": {name: _source(scene, steps) for name, steps in trained.items()}},
                draw=lambda trained=trained, subject=subject, note=note: _draw(scene, trained, subject, note),
            )
        )
    return orders


def class_panels(scene: Scene, trained: Mapping[str, Mapping[str, str]]) -> tuple[tuple[str, ...], list[Panel]]:
    """Return the classes' names, and the panels of balancers whose counts differ.

    trained: balancer -> seeds -> key of a training step.
    """
    class_names: tuple[str, ...] = ()
    panels: dict[str, Panel] = {}
    for balancer, steps in trained.items():
        befores: list[Counts] = []
        phases_of_seeds: list[list[dict[str, list[int]]]] = []
        for key in steps.values():
            subset = SubsetDescription.read(scene.store, scene.inputs(key).subset)
            class_names = subset.class_names
            befores.append(np.array(subset.counts_K, dtype=np.float64))
            phases_of_seeds.append(TrainingDescription.read(scene.store, key).phases)
        before_K = np.mean(befores, axis=0)
        distinct = _distinct(phases_of_seeds, len(class_names))
        for phase, after in enumerate(distinct, start=1):
            name = balancer if len(distinct) == 1 else f"{balancer}, phase {phase} of {len(distinct)}"
            same = repr((before_K.tolist(), [(origin, after[origin].tolist()) for origin in sorted(after)]))
            earlier = panels[same].balancers if same in panels else ()
            panels[same] = Panel(balancers=(*earlier, name), before_K=before_K, after=after)
    return class_names, list(panels.values())


def _trained(scene: Scene, tasks: Sequence[TaskScene]) -> dict[str, dict[str, str]]:
    """Return balancer -> seeds -> key of its training, under the first classifier that has any.

    Balancers come in the order of the suite: these counts are no result to rank.
    """
    names = dict.fromkeys(cell.balancer for cell in scene.plan.cells if cell.role != "ceiling")
    trained: dict[str, dict[str, str]] = {}
    for row in (row for task in tasks for row in task.rows if row.role != "ceiling"):
        if row.balancer not in trained and (done := scene.done(row, "train")):
            trained[row.balancer] = done
    return {name: trained[name] for name in names if name in trained}


def _source(scene: Scene, steps: Mapping[str, str]) -> JSON:
    return {seeds: [scene.digest(scene.inputs(key).subset), scene.digest(key)] for seeds, key in steps.items()}


def _distinct(
    phases_of_seeds: Sequence[Sequence[Mapping[str, list[int]]]], class_count: int
) -> list[dict[str, Counts]]:
    """Return the mean counts over seeds of each phase, less those that repeat the phase before."""
    distinct: list[dict[str, Counts]] = []
    for phases in zip(*phases_of_seeds, strict=True):
        origins = sorted({origin for phase in phases for origin in phase})
        nothing = [0] * class_count
        after = {origin: np.mean([phase.get(origin, nothing) for phase in phases], axis=0) for origin in origins}
        if not distinct or not _same(distinct[-1], after):
            distinct.append(after)
    return distinct


def _same(first: Mapping[str, Counts], second: Mapping[str, Counts]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[origin], second[origin]) for origin in first)


def _draw(scene: Scene, trained: Mapping[str, Mapping[str, str]], subject: str, note: str) -> Drawing:
    import altair as alt

    class_names, panels = class_panels(scene, trained)
    order_K = np.argsort(-panels[0].before_K, kind="stable")
    labelled = len(class_names) <= LABELLED_CLASSES
    names = [_panel_name(panel.balancers) for panel in panels]
    data = [
        line for name, panel in zip(names, panels, strict=True) for line in _lines(name, panel, class_names, order_K)
    ]
    shown = [origin for origin in ORIGIN_COLOURS if any(line["origin"] == origin for line in data)]
    most = max(float(np.maximum(panel.before_K, sum(panel.after.values())).max()) for panel in panels)
    scale = alt.Scale(domain=shown, range=[ORIGIN_COLOURS[origin] for origin in shown])
    legend = alt.Legend(orient="bottom", title=None, offset=14)
    if labelled:
        after_mark = alt.MarkDef(type="bar")
        before_mark = alt.MarkDef(type="tick", thickness=2.5, **BEFORE)
    else:
        after_mark = alt.MarkDef(type="area", interpolate="step-after")
        before_mark = alt.MarkDef(type="line", interpolate="step-after", color=TEXT, strokeWidth=1.5)

    def draw(panel: str, left: bool, bottom: bool) -> Any:
        ordered = [class_names[label] for label in order_K]
        shown_axis: dict[str, Any] = {"labels": bottom, "ticks": bottom and not labelled}
        if labelled:
            x = alt.X("class:N", sort=ordered, title=None, axis=alt.Axis(labelAngle=-45, labelLimit=80, **shown_axis))
        else:
            x = alt.X(
                "rank:Q",
                title="classes, most images first" if bottom else None,
                scale=alt.Scale(nice=False),
                axis=alt.Axis(tickCount=4, **shown_axis),
            )
        y_axis = alt.Axis(tickCount=4, format="~s", labels=left, ticks=left, domain=left)
        y = alt.Y("images:Q", title="images" if left else None, scale=alt.Scale(domain=[0, most]), axis=y_axis)
        after = (
            alt.Chart(mark=after_mark)
            .transform_filter("datum.origin != 'before'")
            .encode(x=x, y=y.stack("zero"), color=alt.Color("origin:N", scale=scale, legend=legend), order="place:Q")
        )
        before = alt.Chart(mark=before_mark).transform_filter("datum.origin == 'before'").encode(x=x, y=y)
        values = [line for line in data if line["panel"] == panel]
        width = max(150, 12 * len(class_names)) if labelled else 220
        return alt.layer(after, before, data=alt.Data(values=values)).properties(width=width, height=110)

    chart = small_multiples(names, draw, TITLE, subject, notes=more_names(panels))
    caption = sentences(_caption(panels, labelled), note)
    return Drawing(content=svg_of(chart, f"{TITLE}: {subject}"), suffix="svg", caption=caption)


def _caption(panels: Sequence[Panel], labelled: bool) -> str:
    bars, marks = ("Bars", "marks") if labelled else ("Areas", "lines")
    text = f"{bars} are the images trained on, by origin; {marks} are the images before balancing; means over seeds."
    if any(len(panel.balancers) > 1 for panel in panels):
        text += " Balancers with the same images share a panel; weights and losses do not show here."
    together = [panel.balancers for panel in panels if len(panel.balancers) > NAMED_IN_PANEL]
    for names in together:
        text += f" {_panel_name(names)}: {', '.join(names)}."
    return text


NAMED_IN_PANEL = 2
NOTE_WIDTH = 90  # characters of a line below the heading


def more_names(panels: Sequence[Panel]) -> list[str]:
    """Return lines that say who the "and 2 more" of each panel are."""
    lines: list[str] = []
    for panel in panels:
        if more := panel.balancers[NAMED_IN_PANEL:]:
            text = f"{len(more)} more with {'; '.join(panel.balancers[:NAMED_IN_PANEL])}: {', '.join(more)}"
            lines += textwrap.wrap(text, NOTE_WIDTH, break_long_words=False)
    return lines


def _panel_name(names: Sequence[str]) -> str:
    more = len(names) - NAMED_IN_PANEL
    return "; ".join(names[:NAMED_IN_PANEL]) + (f" and {more} more" if more > 0 else "")


def _lines(name: str, panel: Panel, class_names: Sequence[str], order_K: NDArray[np.intp]) -> list[dict[str, Any]]:
    counts = {**panel.after, REMOVED: panel.removed_K, "before": panel.before_K}
    lines: list[dict[str, Any]] = []
    for origin, counts_K in counts.items():
        if origin != "before" and not counts_K.any():
            continue
        stack_order = list(ORIGIN_COLOURS).index(origin) if origin in ORIGIN_COLOURS else -1
        for rank, label in enumerate(order_K):
            images = round(float(counts_K[label]), 1)
            line = {"panel": name, "origin": origin, "place": stack_order, "images": images, "rank": rank}
            lines.append({**line, "class": class_names[label]})
        if len(class_names) > LABELLED_CLASSES:  # a step needs its right end
            lines.append({**lines[-1], "rank": len(order_K)})
    return lines
