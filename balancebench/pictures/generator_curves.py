"""Pictures of kind `generator`: the curves that a generator's training, or a choice of images, left in its artefacts.

`balancebench.synthesis.curves.Curves` writes them. Losses share a panel, and so do shares; every other curve has one of
its own. Losses of unlike sizes have panels of their own too, or one with a logarithmic axis where they are many.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.generator import BalancerFiles
from balancebench.leaderboard.picture_manifest import Picture
from balancebench.pictures.drawing import Drawing, PictureOrder, sentences
from balancebench.pictures.lines import MOST_POINTS, Line, Panel, Strokes, are_unlike, axis_scale, line_chart
from balancebench.pictures.scene import Scene, named_seeds
from balancebench.pictures.style import BEST_COLOURS
from balancebench.pictures.svg import svg_of
from balancebench.pictures.syntheses import Synthesis, syntheses
from balancebench.stage import Stage

__all__ = ["curve_panels", "generator_curves", "generator_orders"]

TITLES: dict[Stage, str] = {"train_generator": "Training of the generator", "synthesise": "Making of the images"}
ALTS: dict[Stage, str] = {
    "train_generator": "Losses and other curves of the generator's training by epoch",
    "synthesise": "Curves of the making of images by round",
}
COUNTED: dict[Stage, str] = {"train_generator": "epoch", "synthesise": "round"}
TOGETHER = ("loss", "share")  # curves with such a word in their names are of one kind
MOST_OWN_PANELS = 4


def generator_orders(scene: Scene) -> list[PictureOrder]:
    """Return an order for each generator's training, and each synthesis, that kept curves."""
    orders: list[PictureOrder] = []
    stages: tuple[Stage, ...] = ("train_generator", "synthesise")
    kept: list[tuple[Stage, Synthesis]] = [(stage, trained) for stage in stages for trained in syntheses(scene, stage)]
    for stage, trained in kept:
        if not any(BalancerFiles.has_curves(scene.store, key) for key in trained.steps.values()):
            continue
        subject, title = f"{trained.label}, {named_seeds(trained.steps)}", TITLES[stage]
        orders.append(
            PictureOrder(
                picture=Picture(
                    kind="generator",
                    dataset=trained.dataset,
                    imbalancer=trained.imbalancer,
                    classifier=trained.classifier,
                    balancer=trained.balancer,
                    title=f"{title}: {subject}",
                    alt=f"{ALTS[stage]}: {subject}.",
                ),
                source=[scene.digest(key) for key in trained.steps.values()],
                draw=lambda trained=trained, subject=subject, stage=stage: _draw(scene, trained, subject, stage),
            )
        )
    return orders


def generator_curves(scene: Scene, steps: Mapping[str, str]) -> dict[str, list[NDArray[np.float64]]]:
    """Return the curves by name, one array (E,) a seed that has them; files other than curves.json add their name."""
    curves: dict[str, list[NDArray[np.float64]]] = {}
    for key in steps.values():
        for stem, rows in BalancerFiles.read(scene.store, key).curves.items():
            for name in dict.fromkeys(name for row in rows for name in row if name != "epoch"):
                shown = name if stem == "curves" else f"{stem} {name}"
                values_E = np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
                curves.setdefault(shown.replace("_", " "), []).append(values_E)
    return curves


def curve_panels(curves: Mapping[str, list[NDArray[np.float64]]]) -> list[Panel]:
    """Return the panels of curves, (E,) a seed by name, each called what its curves have in common."""
    lines = {
        name: Line(row=name, name=name, values_SE=np.stack([value_E[: min(map(len, values))] for value_E in values]))
        for name, values in curves.items()
    }
    word_of = {name: next((word for word in TOGETHER if word in name), name) for name in curves}
    panels: list[Panel] = []
    for word in sorted(dict.fromkeys(word_of.values()), key=lambda word: word != "loss"):
        members = [lines[name] for name in curves if word_of[name] == word]
        if word != "share" and are_unlike(members) and len(members) <= MOST_OWN_PANELS:
            panels += [Panel(title=line.name, format="~g", lines=[line]) for line in members]
        else:
            scale = "linear" if word == "share" else axis_scale(members)
            panels.append(Panel(title=word, format="~g", lines=members, scale=scale))
    return panels


def _contents(panel: Panel) -> str:
    """Return in words what a panel shows."""
    names = ", ".join(line.name for line in panel.lines)
    text = names if [line.name for line in panel.lines] == [panel.title] else f"{panel.title}: {names}"
    return text if panel.scale == "linear" else f"{text}, on a logarithmic axis"


def _draw(scene: Scene, trained: Synthesis, subject: str, stage: Stage) -> Drawing | None:
    title = TITLES[stage]
    curves = generator_curves(scene, trained.steps)
    if not curves:
        return None
    colours = {name: BEST_COLOURS[index % len(BEST_COLOURS)] for index, name in enumerate(curves)}
    dashes = {name: (1, 0) if index < len(BEST_COLOURS) else (6, 3) for index, name in enumerate(curves)}
    strokes = {name: Strokes(colour=colours[name], dash=dashes[name]) for name in curves}
    panels = curve_panels(curves)
    chart = line_chart(
        panels, strokes, title, subject, panel_width=230 if len(panels) > 1 else 460, counted=COUNTED[stage]
    )
    most = max(len(value_E) for values in curves.values() for value_E in values)
    caption = sentences(
        "Means over seeds; bands go from the lowest to the highest seed." if len(trained.steps) > 1 else "One seed.",
        f"Each point is the mean of {-(-most // MOST_POINTS)} {COUNTED[stage]}s." if most > MOST_POINTS else "",
        f"{'; '.join(_contents(panel) for panel in panels)}.",
        f"Balancer {trained.balancer}.",
    )
    return Drawing(content=svg_of(chart, f"{title}: {subject}"), suffix="svg", caption=caption)
