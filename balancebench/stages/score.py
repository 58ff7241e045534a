"""Stage `score`: metrics from stored logits and stored images. Nothing is trained here, so new metrics are cheap."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from balancebench.component import Evaluation, Metric, PartlyUndefined, Undefined
from balancebench.config import JSON
from balancebench.data import class_counts
from balancebench.errors import BalancebenchError
from balancebench.stages.arrays import map_array, write_json
from balancebench.stages.evaluation import evaluation_images
from balancebench.stages.imbalance import subset_of
from balancebench.stages.order import Workplace
from balancebench.store import cell_cost

__all__ = ["run_score"]


def run_score(place: Workplace) -> None:
    """Compute every metric for every report and write scores.json: {report: {metric: {"value": ...}}}."""
    folder, trained = place.input_folder("train"), place.input_record("train")
    subset_record = place.store.read_done(trained.inputs["subset"])
    if subset_record is None:
        raise BalancebenchError("the subset that the classifier was trained on is not in the store")
    subset = subset_of(place.store, subset_record)
    test = subset.splits.test
    images = evaluation_images(place, subset, trained)
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    metrics: dict[str, Metric] = {
        label: place.build_from("metric", reference).object for label, reference in place.order.work["metrics"].items()
    }
    scores: dict[str, JSON] = {}
    for report in place.order.settings["reports"]:
        evaluation = Evaluation(
            logits_NK=np.array(map_array(folder / f"logits_{report}.npy")),
            labels_N=test.labels_N,
            class_names=test.class_names,
            train_counts_K=class_counts(subset.splits.train.labels_N[subset.kept_N], test.class_count),
            cost=cell_cost(trained, place.store.read_done),
            images=images,
        )
        scores[report] = {
            "epoch": training["best_epochs"].get(report, len(training["curves"]) - 1),
            "metrics": {label: _scored(label, metric, evaluation) for label, metric in metrics.items()},
        }
    write_json(place.results / "scores.json", scores)


def _scored(label: str, metric: Metric, evaluation: Evaluation) -> JSON:
    try:
        value = metric(evaluation)
    except BalancebenchError as error:
        raise type(error)(f"metric {label}: {error}") from error
    except Exception as error:
        raise BalancebenchError(f"metric {label}: {type(error).__name__}: {error}") from error
    if isinstance(value, Undefined):
        return {"value": None, "reason": value.reason}
    reason = "null where a class has no such images, or none are predicted as it"
    if isinstance(value, PartlyUndefined):
        value, reason = value.values_K, value.reason
    array: Any = np.asarray(value, dtype=np.float64)
    if array.ndim == 0:
        number = float(array)
        return {"value": number} if math.isfinite(number) else {"value": None, "reason": f"the metric is {number}"}
    scored: dict[str, JSON] = {"value": _with_holes(array.tolist())}
    if not np.isfinite(array).all():
        scored["reason"] = reason
    return scored


def _with_holes(values: list[Any]) -> list[Any]:
    """Return nested lists with None in the place of what is not finite: an undefined class is null."""
    return [
        _with_holes(value) if isinstance(value, list) else (value if math.isfinite(value) else None) for value in values
    ]
