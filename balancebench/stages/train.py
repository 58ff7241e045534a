"""Stage `train`: a classifier trained on a balancer's plan, and its logits on the test images.

Plugins see test images only when the harness asks for their logits, and never see test labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from balancebench.component import FeaturePredictor, Predictor
from balancebench.data import LabelledImages, Origin, class_counts
from balancebench.errors import BalancerError, ClassifierError, DataError
from balancebench.stages.arrays import write_array, write_json
from balancebench.stages.imbalance import read_subset
from balancebench.stages.order import Workplace
from balancebench.stages.synthesise import fit_context, plan_context, read_synthetic
from balancebench.training.plan import TrainingPlan

__all__ = ["WEIGHTS", "run_train"]

WEIGHTS = "weights"
"""The folder of a training's results that a predictor is saved to where the step keeps its weights."""


@dataclass(slots=True)
class _Track:
    """Follows one split through the epochs: predictions and loss of each, logits of the best."""

    split: Literal["test", "validation"]
    images: LabelledImages
    predictions_EN: list[NDArray[np.int16]] = field(default_factory=list[NDArray[np.int16]])
    losses_E: list[float | None] = field(default_factory=list[float | None])
    best_score: float = -1.0
    best_epoch: int = -1
    best_logits_NK: NDArray[np.float32] | None = None  # of the test images

    def add(self, epoch: int, logits_NK: NDArray[np.float32], test_logits_NK: NDArray[np.float32]) -> None:
        predicted_N = logits_NK.argmax(axis=1)
        self.predictions_EN.append(predicted_N.astype(np.int16))
        self.losses_E.append(_mean_cross_entropy(logits_NK, self.images.labels_N))
        score = self._score(predicted_N)
        if score > self.best_score:
            self.best_score, self.best_epoch, self.best_logits_NK = score, epoch, test_logits_NK

    def _score(self, predicted_N: NDArray[np.int64]) -> float:
        """Return top-1 accuracy on test images, as the field reports it; balanced accuracy on validation images."""
        correct_N = predicted_N == self.images.labels_N
        if self.split == "test":
            return float(correct_N.mean())
        counts_K = self.images.counts_K
        hits_K = class_counts(self.images.labels_N[correct_N], self.images.class_count)
        return float((hits_K[counts_K > 0] / counts_K[counts_K > 0]).mean())


def run_train(place: Workplace) -> None:
    """Train, and write the test logits of the last epoch and of each best epoch asked for."""
    subset = read_subset(place)
    train, test = subset.train, subset.splits.test
    balancer = place.build("balancer", "component")
    classifier = place.build("classifier", "classifier")
    synthetic = read_synthetic(place, "synthetic", train)
    plan = balancer.object.plan(train, synthetic, plan_context(place, balancer, train))
    if not isinstance(plan, TrainingPlan):
        raise BalancerError(f"{balancer.component.name} planned {type(plan).__name__}, not a TrainingPlan")
    tracks: list[_Track] = []
    for split in place.order.settings["track"]:
        images = test if split == "test" else subset.validation
        if images is None:
            raise DataError(
                "the suite reports best_validation, but the dataset has no validation images; "
                "add `validation = { source = 'kept', fraction = 0.1 }` to [run]"
            )
        tracks.append(_Track(split, images))
    curves: list[dict[str, float]] = []

    def predicted(predictor: Predictor, images: LabelledImages) -> NDArray[np.float32]:
        logits_NK = predictor.predict_logits(images.images_NCHW)
        if logits_NK.shape != (len(images), images.class_count) or logits_NK.dtype != np.float32:
            raise ClassifierError(
                f"{classifier.component.name} predicted {logits_NK.dtype} {logits_NK.shape} for {len(images)} images "
                f"of {images.class_count} classes"
            )
        return logits_NK

    def epoch_finished(epoch: int, predictor: Predictor, values: Mapping[str, float]) -> None:
        curves.append({"epoch": epoch, **{name: float(value) for name, value in values.items()}})
        if tracks:
            test_logits_NK = predicted(predictor, test)
            for track in tracks:
                own = test_logits_NK if track.split == "test" else predicted(predictor, track.images)
                track.add(epoch, own, test_logits_NK)

    context = replace(fit_context(place, place.order.settings["classifier_seed"]), epoch_finished=epoch_finished)
    predictor = classifier.object.fit(plan, context)
    write_array(place.results / "logits_last.npy", predicted(predictor, test))
    if place.order.work.get("keep_weights", False) and isinstance(predictor, FeaturePredictor):
        weights = place.results / WEIGHTS
        weights.mkdir()
        predictor.save(weights)
    for track in tracks:
        if track.best_logits_NK is None:
            raise ClassifierError(f"{classifier.component.name} reported no epoch, so there is no best one")
        write_array(place.results / f"logits_best_{track.split}.npy", track.best_logits_NK)
        write_array(place.results / f"epoch_predictions_{track.split}.npy", np.stack(track.predictions_EN))
    description = {
        "curves": curves,
        "epoch_losses": {track.split: track.losses_E for track in tracks},
        "best_epochs": {f"best_{track.split}": track.best_epoch for track in tracks},
        "phases": [_phase_counts(phase.images) for phase in plan.phases],
    }
    write_json(place.results / "training.json", description)


def _phase_counts(images: LabelledImages) -> dict[str, list[int]]:
    """Return, for each origin that occurs, the images of each class."""
    counts = {
        origin.name.lower(): class_counts(images.labels_N[images.origins_N == origin], images.class_count).tolist()
        for origin in Origin
    }
    return {name: counts_K for name, counts_K in counts.items() if any(counts_K)}


def _mean_cross_entropy(logits_NK: NDArray[np.float32], labels_N: NDArray[np.int64]) -> float | None:
    """Return the mean cross-entropy, or None where a logit is not finite."""
    shifted_NK = logits_NK.astype(np.float64) - logits_NK.max(axis=1, keepdims=True)
    losses_N = np.log(np.exp(shifted_NK).sum(axis=1)) - shifted_NK[np.arange(len(labels_N)), labels_N]
    mean = float(losses_N.mean())
    return mean if np.isfinite(mean) else None
