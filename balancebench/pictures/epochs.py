"""Pictures of kind `epochs`: loss, accuracy and F1 on the test images by epoch, of all rows of a task in one plot.

Test images are predicted after each epoch only where the suite reports `best_test`; elsewhere the picture shows the
training loss. Axis suffixes: N test images, E epochs, K classes, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.splits import SplitsDescription, read_test_labels
from balancebench.artefacts.training_result import TrainingDescription, TrainingResult
from balancebench.classification import confusion_counts, f1_of_classes, mean_over_classes
from balancebench.config import JSON
from balancebench.errors import StoreError
from balancebench.leaderboard.picture_manifest import Picture
from balancebench.pictures.drawing import Drawing, PictureOrder, sentences
from balancebench.pictures.lines import MOST_POINTS, Line, Panel, Strokes, axis_scale, line_chart
from balancebench.pictures.scene import PictureRow, Scene, TaskScene, named_seeds
from balancebench.pictures.style import BEST_COLOURS, TEXT
from balancebench.pictures.svg import svg_of

__all__ = ["RowCurves", "epochs_orders", "f1_by_epoch", "row_curves"]

Average = Literal["macro", "weighted"]
FAR_APART = 2  # as many steps are more epochs of fewer images: past this ratio the axis is the share of the training


@dataclass(slots=True)
class RowCurves:
    """Curves of a row, all (S, E): a row's seeds have as many epochs each. Losses are NaN where not finite."""

    loss_SE: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])
    accuracy_SE: list[NDArray[np.float64]] = field(default_factory=list[NDArray[np.float64]])
    f1_SE: dict[Average, list[NDArray[np.float64]]] = field(default_factory=dict[Average, list[NDArray[np.float64]]])


def f1_by_epoch(
    predictions_EN: NDArray[np.integer[Any]], labels_N: NDArray[np.int64], class_count: int, average: Average
) -> NDArray[np.float64]:
    """Return the F1 of each epoch's predictions, (E,): 2 TP / (2 TP + FP + FN), averaged over classes.

    A class neither predicted nor among the test images is left out, as in the metric `f1`.
    """
    scores: list[float] = []
    for predicted_N in predictions_EN:
        confusion_KK = confusion_counts(labels_N, predicted_N, class_count)
        scores.append(mean_over_classes(f1_of_classes(confusion_KK), confusion_KK.sum(axis=1), average))
    return np.array(scores)


def row_curves(scene: Scene, row: PictureRow, averages: Sequence[Average]) -> RowCurves:
    """Return the test curves of a row, one for each distinct training."""
    curves = RowCurves(f1_SE={average: [] for average in averages})
    for key in scene.done(row, "train").values():
        dataset_key = scene.inputs(key).dataset
        labels_N = read_test_labels(scene.store, dataset_key)
        class_count = len(SplitsDescription.read(scene.store, dataset_key).class_names)
        training = TrainingResult.read(scene.store, key)
        predictions_EN = training.epoch_predictions_EN["test"]
        if predictions_EN.ndim != 2 or predictions_EN.shape[1] != len(labels_N):
            raise StoreError(
                f"the training {key[:12]} has predictions of shape {predictions_EN.shape} for {len(labels_N)} test "
                "images"
            )
        losses = training.description.epoch_losses["test"]
        curves.loss_SE.append(np.array([np.nan if loss is None else loss for loss in losses], dtype=np.float64))
        curves.accuracy_SE.append((predictions_EN == labels_N).mean(axis=1))
        for average in averages:
            curves.f1_SE[average].append(f1_by_epoch(predictions_EN, labels_N, class_count, average))
    return curves


def epochs_orders(scene: Scene) -> list[PictureOrder]:
    """Return an order for each task of which a classifier was trained."""
    return [order for task in scene.tasks if (order := _order(scene, task)) is not None]


def _order(scene: Scene, task: TaskScene) -> PictureOrder | None:
    done = {_name(row): steps for row in task.rows if (steps := scene.done(row, "train"))}
    if not done:
        return None
    on_test = "best_test" in scene.board.suite.reports
    subject = f"{task.task}, {named_seeds(seed for steps in done.values() for seed in steps)}"
    averages = _averages(scene)
    note = scene.not_done_note(task.rows, "train")
    title = "Test images by epoch" if on_test else "Training loss by epoch"
    shown = "Loss, accuracy and F1 on the test images" if on_test else "The training loss"
    source: dict[str, JSON] = {
        "averages": list(averages),
        "note": note,
        "rows": [[name, [scene.digest(key) for key in steps.values()]] for name, steps in done.items()],
        "datasets": [
            scene.digest(key) for key in sorted({cell.steps["load"] for row in task.rows for cell in row.cells})
        ],
    }
    return PictureOrder(
        picture=Picture(
            kind="epochs",
            dataset=task.task.dataset,
            imbalancer=task.task.imbalancer,
            classifier=task.task.classifier,
            title=f"{title}: {subject}",
            alt=f"{shown} by epoch, one line a balancer: {subject}.",
        ),
        source=source,
        draw=lambda: _draw(scene, task, averages, on_test, title, subject, note),
    )


def _draw(
    scene: Scene, task: TaskScene, averages: Sequence[Average], on_test: bool, title: str, subject: str, note: str
) -> Drawing | None:
    rows = [row for row in task.rows if scene.done(row, "train")]
    strokes, names = _strokes(rows)
    if on_test:
        curves_of = {_name(row): row_curves(scene, row, averages) for row in rows}
        panels = [
            _panel("loss", "~g", {row: curves.loss_SE for row, curves in curves_of.items()}, names),
            _panel("accuracy", "%", {row: curves.accuracy_SE for row, curves in curves_of.items()}, names),
            *(
                _panel(f"F1, {average}", "%", {row: curves.f1_SE[average] for row, curves in curves_of.items()}, names)
                for average in averages
            ),
        ]
    else:
        losses_of = {_name(row): _training_losses(scene, row) for row in rows}
        panels = [_panel("training loss", "~g", {row: losses for row, losses in losses_of.items() if losses}, names)]
    if not any(panel.lines for panel in panels):
        return None
    epochs = [line.values_SE.shape[1] for panel in panels for line in panel.lines]
    most = max(epochs)
    by_share = most > FAR_APART * min(epochs)
    chart = line_chart(panels, strokes, title, subject, panel_width=230 if on_test else 460, by_share=by_share)
    caption = sentences(
        "Means over seeds; bands go from the lowest to the highest seed.",
        "The test set chose nothing here: each epoch is shown."
        if on_test
        else "Losses need not be comparable: some balancers train on other images or minimise another loss.",
        f"Each point is the mean of {'up to ' if by_share else ''}{-(-most // MOST_POINTS)} epochs."
        if most > MOST_POINTS
        else "",
        f"Rows have {min(epochs)} to {most} epochs, since those of more images are longer." if by_share else "",
        "The axis of the loss is logarithmic." if any(panel.scale != "linear" for panel in panels) else "",
        _others(rows, names),
        note,
    )
    return Drawing(content=svg_of(chart, f"{title}: {subject}"), suffix="svg", caption=caption)


def _panel(
    title: str, number_format: str, values: Mapping[str, list[NDArray[np.float64]]], names: Mapping[str, str]
) -> Panel:
    lines = [
        Line(row=row, name=names[row], values_SE=np.stack([value_E[: _shortest(of_seeds)] for value_E in of_seeds]))
        for row, of_seeds in values.items()
    ]
    # What stands out is drawn last.
    order = {name: index for index, name in enumerate(reversed(dict.fromkeys(names.values())))}
    lines.sort(key=lambda line: order[line.name])
    # Shares are of one scale whatever they are; balancers may minimise unlike losses.
    return Panel(
        title=title, format=number_format, lines=lines, scale="linear" if number_format == "%" else axis_scale(lines)
    )


def _shortest(values: Sequence[NDArray[np.float64]]) -> int:
    return min(len(value_E) for value_E in values)


def _training_losses(scene: Scene, row: PictureRow) -> list[NDArray[np.float64]]:
    losses: list[NDArray[np.float64]] = []
    for key in scene.done(row, "train").values():
        curves = TrainingDescription.read(scene.store, key).curves
        if curves and all("loss" in values for values in curves):
            losses.append(np.array([values["loss"] for values in curves], dtype=np.float64))
    return losses


def _strokes(rows: Sequence[PictureRow]) -> tuple[dict[str, Strokes], dict[str, str]]:
    """Return how the lines of each name of the legend look, and the name of each row.

    The best entries have colours, floor and ceiling dashes; all others share one thin grey.
    """
    entries = [row for row in rows if row.role == "entry"]
    others = entries[len(BEST_COLOURS) :]
    rest = _name(others[0]) if len(others) == 1 else f"{len(others)} others"
    strokes: dict[str, Strokes] = {}
    names: dict[str, str] = {}
    for row, colour in zip(entries, BEST_COLOURS, strict=False):
        names[_name(row)] = _name(row)
        strokes[_name(row)] = Strokes(colour=colour)
    for row in rows:
        if row.role != "entry":
            names[_name(row)] = _name(row)
            strokes[_name(row)] = Strokes(colour=TEXT, dash=(6, 3) if row.role == "floor" else (1, 3), width=2.5)
    for row in others:
        names[_name(row)] = rest
        strokes[rest] = Strokes(colour=TEXT, width=1, opacity=0.5)
    return strokes, names


def _others(rows: Sequence[PictureRow], names: Mapping[str, str]) -> str:
    thin = [_name(row) for row in rows if names[_name(row)] != _name(row)]
    return f"The first {len(BEST_COLOURS)} of the table have colours; the others are {', '.join(thin)}." if thin else ""


def _name(row: PictureRow) -> str:
    return row.balancer if row.role == "entry" else f"{row.balancer} ({row.role})"


def _averages(scene: Scene) -> list[Average]:
    """Return the averages of the suite's F1 metrics, macro where it has none."""
    f1_averages = [
        getattr(metric.options, "average", None) for metric in scene.plan.suite.metrics if metric.component.name == "f1"
    ]
    return [average for average in ("macro", "weighted") if average in f1_averages] or ["macro"]
