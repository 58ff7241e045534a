"""Pictures of kind `curves`: ROC and precision-recall curves of each class against the others, after the last epoch.

Drawn for suites that name ROC-AUC or average precision among their metrics, of up to ten classes. A curve is the mean
over seeds, at fixed shares of the other classes' images or of the class's own; areas are means of the seeds' areas.
Axis suffixes: N test images, K classes, P points of a curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.splits import SplitsDescription, read_test_labels
from balancebench.artefacts.training_result import TrainingResult
from balancebench.leaderboard.picture_manifest import Picture
from balancebench.pictures.drawing import Drawing, PictureOrder, sentences
from balancebench.pictures.grid import small_multiples
from balancebench.pictures.scene import PictureRow, Scene, TaskScene, named_seeds
from balancebench.pictures.style import TEXT
from balancebench.pictures.svg import svg_of

__all__ = ["ClassCurve", "class_curves", "curves_orders"]

METRICS = frozenset({"roc_auc", "average_precision"})
MOST_CLASSES = 10
MOST_ROWS = 6
TITLE = "ROC and precision-recall curves by class"
COLOURS = (
    "#0a7bc4", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#7a52cc", "#c0392b", "#2c8c99", "#5f7d1a", "#9b5c8f",
)  # fmt: skip
POINTS_P = np.linspace(0.0, 1.0, 51)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCurve:
    """Curves of one class over seeds.

    recall_P: of ROC, at shares POINTS_P of the others' images taken for it. precision_P: at recalls POINTS_P. areas:
    under the ROC curve, and the average precision.
    """

    label: int
    recall_P: NDArray[np.float64]
    precision_P: NDArray[np.float64]
    roc_area: float
    average_precision: float


def curves_orders(scene: Scene) -> list[PictureOrder]:
    """Return an order for each task of a suite that asks for such areas."""
    if not any(metric.component.name in METRICS for metric in scene.plan.suite.metrics):
        return []
    orders: list[PictureOrder] = []
    for task in scene.tasks:
        done = [(row, steps) for row in task.rows if (steps := scene.done(row, "train"))]
        if not done or len(task.table.train_counts_K) > MOST_CLASSES:
            continue
        subject = f"{task.task}, {named_seeds(dict.fromkeys(seed for _, steps in done for seed in steps))}"
        orders.append(
            PictureOrder(
                picture=Picture(
                    kind="curves",
                    dataset=task.task.dataset,
                    imbalancer=task.task.imbalancer,
                    classifier=task.task.classifier,
                    title=f"{TITLE}: {subject}",
                    alt=f"For each row two panels, a line a class with its area: {subject}.",
                ),
                source=[[row.role, row.balancer, [scene.digest(key) for key in steps.values()]] for row, steps in done],
                draw=lambda task=task, subject=subject: _draw(scene, task, subject),
            )
        )
    return orders


def class_curves(scores: Sequence[NDArray[np.float64]], labels_N: NDArray[np.int64], label: int) -> ClassCurve:
    """Return the curves of a class. scores: of each seed, scores_N for the class; higher is more likely."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    is_class_N = labels_N == label
    recalls: list[NDArray[np.float64]] = []
    precisions: list[NDArray[np.float64]] = []
    areas: list[tuple[float, float]] = []
    for scores_N in scores:
        false_positive, true_positive, _ = roc_curve(is_class_N, scores_N)
        recalls.append(np.interp(POINTS_P, false_positive, true_positive))
        precision, recall, _ = precision_recall_curve(is_class_N, scores_N)
        # Of thresholds with one recall the highest comes first here, and has the best precision.
        rising, first = np.unique(recall[::-1], return_index=True)
        precisions.append(np.interp(POINTS_P, rising, precision[::-1][first]))
        areas.append((float(roc_auc_score(is_class_N, scores_N)), float(average_precision_score(is_class_N, scores_N))))
    roc_area, average_precision = np.mean(areas, axis=0).tolist()
    return ClassCurve(
        label=label,
        recall_P=np.mean(recalls, axis=0),
        precision_P=np.mean(precisions, axis=0),
        roc_area=roc_area,
        average_precision=average_precision,
    )


def _draw(scene: Scene, task: TaskScene, subject: str) -> Drawing | None:
    panels: dict[str, list[dict[str, Any]]] = {}
    class_names: Sequence[str] = ()
    rows = [row for row in task.rows if scene.done(row, "train")]
    for row in rows[:MOST_ROWS]:
        steps = scene.done(row, "train")
        dataset_key = scene.inputs(next(iter(steps.values()))).dataset
        class_names = SplitsDescription.read(scene.store, dataset_key).class_names
        labels_N = read_test_labels(scene.store, dataset_key)
        logits = [TrainingResult.read(scene.store, key).logits_NK["last"].astype(np.float64) for key in steps.values()]
        probabilities = [_softmax(logits_NK) for logits_NK in logits]
        curves = [
            class_curves([probability_NK[:, label] for probability_NK in probabilities], labels_N, label)
            for label in range(len(class_names))
            if 0 < (labels_N == label).sum() < len(labels_N)
        ]
        panels[f"{_name(row)}: ROC"] = _points(curves, class_names, "roc")
        panels[f"{_name(row)}: precision-recall"] = _points(curves, class_names, "precision_recall")
    if not panels:
        return None
    left_out = len(rows) - MOST_ROWS
    caption = sentences(
        "Each class against all others, after the last epoch, a mean over seeds; numbers are areas under the ROC curve "
        "and average precisions.",
        "Dashes are guessing.",
        f"{left_out} more rows are left out." if left_out > 0 else "",
        scene.not_done_note(task.rows, "train"),
    )
    return Drawing(
        content=svg_of(_chart(panels, class_names, subject), f"{TITLE}: {subject}"), suffix="svg", caption=caption
    )


def _softmax(logits_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return shifted_NK / shifted_NK.sum(axis=1, keepdims=True)


def _points(curves: Sequence[ClassCurve], class_names: Sequence[str], kind: str) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = []
    for curve in curves:
        is_roc = kind == "roc"
        values_P, area = (curve.recall_P, curve.roc_area) if is_roc else (curve.precision_P, curve.average_precision)
        name = class_names[curve.label]
        points += [
            {"class": name, "x": round(float(x), 3), "y": round(float(y), 4), "area": f"{name} {area:.3f}"}
            for x, y in zip(POINTS_P, values_P, strict=True)
        ]
    return points


def _chart(panels: dict[str, list[dict[str, Any]]], class_names: Sequence[str], subject: str) -> Any:
    import altair as alt

    colour = alt.Color(
        "class:N", scale=alt.Scale(domain=list(class_names), range=list(COLOURS[: len(class_names)])), legend=None
    )
    unit = alt.Scale(domain=[0, 1])

    def draw(panel: str, _left: bool, _bottom: bool) -> Any:
        points = panels[panel]
        is_roc = panel.endswith(": ROC")
        axis = alt.Axis(tickCount=3, format="%")
        lines = (
            alt.Chart(alt.Data(values=points))
            .mark_line(strokeWidth=1.8)
            .encode(
                x=alt.X("x:Q", scale=unit, axis=axis, title="others taken for it" if is_roc else "recall"),
                y=alt.Y("y:Q", scale=unit, axis=axis, title="recall" if is_roc else "precision"),
                color=colour,
            )
        )
        areas = [
            {"class": name, "area": area, "x": 0.98, "y": 0.05 + 0.085 * (len(class_names) - 1 - index)}
            for index, (name, area) in enumerate(dict.fromkeys((point["class"], point["area"]) for point in points))
        ]
        words = (
            alt.Chart(alt.Data(values=areas))
            .mark_text(align="right", fontSize=9)
            .encode(x=alt.X("x:Q", scale=unit), y=alt.Y("y:Q", scale=unit), text="area:N", color=colour)
        )
        chance = (
            alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}] if is_roc else []))
            .mark_line(color=TEXT, strokeDash=[4, 3], strokeWidth=1)
            .encode(x=alt.X("x:Q", scale=unit), y=alt.Y("y:Q", scale=unit))
        )
        return alt.layer(chance, lines, words).properties(width=190, height=170)

    return small_multiples(list(panels), draw, TITLE, subject, columns=2)


def _name(row: PictureRow) -> str:
    return row.balancer if row.role == "entry" else f"{row.balancer} ({row.role})"
