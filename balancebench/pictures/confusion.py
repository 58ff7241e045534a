"""Pictures of kind `confusion`: test images by true and predicted class, after the last epoch, one matrix a row.

Up to ten classes they are counts to be read; beyond, heat maps of pixels. Axis suffixes: N test images, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.splits import SplitsDescription, read_test_labels
from balancebench.artefacts.training_result import TrainingResult
from balancebench.classification import confusion_counts, predicted_classes
from balancebench.errors import StoreError
from balancebench.leaderboard.picture_manifest import Picture
from balancebench.pictures.drawing import Drawing, PictureOrder, sentences
from balancebench.pictures.grid import small_multiples
from balancebench.pictures.raster import blank, magnified, paste, png_bytes, text_width, write
from balancebench.pictures.scene import PictureRow, Scene, TaskScene, named_seeds
from balancebench.pictures.style import CARD, heat_colour
from balancebench.pictures.svg import svg_of

__all__ = ["DARK_FROM", "confusion_orders", "row_confusion", "shares_of"]

TITLE = "Confusion matrices"
COUNTED_CLASSES = 10
DARK_FROM = 0.5  # shares above have white numbers
MATRIX_PIXELS = 220
MOST_BINS = 200


def confusion_orders(scene: Scene) -> list[PictureOrder]:
    """Return an order for each task of which a classifier was trained."""
    orders: list[PictureOrder] = []
    for task in scene.tasks:
        done = {(row.role, row.balancer): steps for row in task.rows if (steps := scene.done(row, "train"))}
        if not done:
            continue
        subject = f"{task.task}, {named_seeds(seed for steps in done.values() for seed in steps)}"
        note = scene.not_done_note(task.rows, "train")
        datasets = sorted({scene.inputs(key).dataset for steps in done.values() for key in steps.values()})
        orders.append(
            PictureOrder(
                picture=Picture(
                    kind="confusion",
                    dataset=task.task.dataset,
                    imbalancer=task.task.imbalancer,
                    classifier=task.task.classifier,
                    title=f"{TITLE}: {subject}",
                    alt=f"Test images by true class (rows) and predicted class (columns), a matrix a row: {subject}.",
                ),
                source={
                    "note": note,
                    "datasets": [scene.digest(key) for key in datasets],
                    "rows": [
                        [role, name, [scene.digest(key) for key in steps.values()]]
                        for (role, name), steps in done.items()
                    ],
                },
                draw=lambda task=task, subject=subject, note=note: _draw(scene, task, subject, note),
            )
        )
    return orders


def row_confusion(scene: Scene, row: PictureRow) -> NDArray[np.int64]:
    """Return how many test images of each true class (rows) went to each predicted one, (K, K), summed over seeds."""
    confusions: list[NDArray[np.int64]] = []
    for key in scene.done(row, "train").values():
        logits_NK = TrainingResult.read(scene.store, key).logits_NK["last"]
        labels_N = read_test_labels(scene.store, scene.inputs(key).dataset)
        if len(logits_NK) != len(labels_N):
            raise StoreError(
                f"the training {key[:12]} has logits of {len(logits_NK)} test images instead of {len(labels_N)}"
            )
        confusions.append(confusion_counts(labels_N, predicted_classes(logits_NK), logits_NK.shape[1]))
    return np.sum(confusions, axis=0)


def _draw(scene: Scene, task: TaskScene, subject: str, note: str) -> Drawing:
    confusions: dict[str, NDArray[np.int64]] = {}
    class_names: list[str] = []
    for row in task.rows:
        if done := scene.done(row, "train"):
            name = row.balancer if row.role == "entry" else f"{row.balancer} ({row.role})"
            confusions[name] = row_confusion(scene, row)
            dataset_key = scene.inputs(next(iter(done.values()))).dataset
            class_names = list(SplitsDescription.read(scene.store, dataset_key).class_names)
    counts_K = np.array(task.table.train_counts_K)
    shown = (
        "Rows are true classes, columns predicted ones, after the last epoch, summed over seeds; colour is the share "
        "of the true class"
    )
    if len(class_names) <= COUNTED_CLASSES:
        content = svg_of(_counts(confusions, class_names, subject), f"{TITLE}: {subject}")
        return Drawing(content=content, suffix="svg", caption=sentences(f"{shown}, numbers are images.", note))
    order_K = np.argsort(-counts_K, kind="stable") if len(counts_K) == len(class_names) else np.arange(len(class_names))
    bins = -(-len(class_names) // MOST_BINS)
    caption = sentences(
        f"{shown}. {len(class_names)} classes, those with most training images first.",
        f"Each pixel is the mean of {bins} by {bins} classes." if bins > 1 else "",
        note,
    )
    heat_maps = {
        name: shares_of(confusion_KK[np.ix_(order_K, order_K)], bins) for name, confusion_KK in confusions.items()
    }
    return Drawing(content=_heat_maps(heat_maps, subject), suffix="png", caption=caption)


def _counts(confusions: Mapping[str, NDArray[np.int64]], class_names: Sequence[str], subject: str) -> Any:
    import altair as alt

    data: list[dict[str, Any]] = []
    for name, confusion_KK in confusions.items():
        share_KK = confusion_KK / confusion_KK.sum(axis=1, keepdims=True).clip(min=1)
        for true, predicted in np.argwhere(confusion_KK):
            share = float(share_KK[true, predicted])
            data.append(
                {
                    "row": name,
                    "true": class_names[true],
                    "predicted": class_names[predicted],
                    "count": _count_text(int(confusion_KK[true, predicted])),
                    "colour": "#{:02x}{:02x}{:02x}".format(*heat_colour(share)),
                    "ink": "#ffffff" if share > DARK_FROM else "#1b1f24",
                }
            )
    names = list(class_names)
    scale = alt.Scale(domain=names, paddingInner=0.04, paddingOuter=0.04)
    side = max(110, 21 * len(names))

    def draw(panel: str, left: bool, bottom: bool) -> Any:
        bare: dict[str, Any] = {"labelLimit": 70, "ticks": False, "domain": False}
        x_axis = alt.Axis(labels=bottom, labelAngle=-45, **bare)
        y_axis = alt.Axis(labels=left, **bare)
        base = alt.Chart().encode(
            x=alt.X("predicted:N", scale=scale, sort=names, axis=x_axis, title="predicted" if bottom else None),
            y=alt.Y("true:N", scale=scale, sort=names, axis=y_axis, title="true" if left else None),
        )
        cells = base.mark_rect().encode(color=alt.Color("colour:N", scale=None))
        numbers = base.mark_text(fontSize=8).encode(text="count:N", color=alt.Color("ink:N", scale=None))
        values = alt.Data(values=[line for line in data if line["row"] == panel])
        view = alt.ViewBackground(fill=CARD)
        return alt.layer(cells, numbers, data=values).properties(width=side, height=side, view=view)

    return small_multiples(list(confusions), draw, TITLE, subject)


def _count_text(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.1f}k" if count < 100_000 else f"{count / 1000:.0f}k"


def shares_of(confusion_KK: NDArray[np.int64], bins: int) -> NDArray[np.float64]:
    """Return the shares of each true class; of more classes than pixels, sums over columns and means over rows."""
    share_KK = confusion_KK / confusion_KK.sum(axis=1, keepdims=True).clip(min=1)
    starts = np.arange(0, len(share_KK), bins)
    sizes = np.diff(np.append(starts, len(share_KK)))
    return np.add.reduceat(np.add.reduceat(share_KK, starts, axis=0), starts, axis=1) / sizes[:, None]


def _heat_maps(shares: Mapping[str, NDArray[np.float64]], subject: str) -> bytes:
    side = len(next(iter(shares.values())))
    times = max(1, MATRIX_PIXELS // side)
    columns = min(3, len(shares))
    step_x, step_y, left, top = times * side + 20, times * side + 40, 18, 64
    width = max(left + columns * step_x, text_width(TITLE, 15) + 4, text_width(subject) + 4)
    image = blank(width, top + -(-len(shares) // columns) * step_y)
    write(image, TITLE, 0, 0, size=15)
    write(image, subject, 0, 22)
    ramp = np.array([heat_colour(level / 255) for level in range(256)], dtype=np.uint8)
    for index, (name, share_BB) in enumerate(shares.items()):
        x, y = left + index % columns * step_x, top + index // columns * step_y
        write(image, name, x, y - 18, width=step_x - 8)
        paste(image, magnified(ramp[(share_BB.clip(0, 1) * 255).round().astype(np.uint8)], times), x, y)
    return png_bytes(image)
