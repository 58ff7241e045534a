"""Stage `train`: a classifier trained on a balancer's plan, and its logits on the test images.

Plugins see test images only when the harness asks for their logits, and never see test labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.subset import Subset
from balancebench.artefacts.training_result import TrainingDescription, TrainingResult, weights_folder
from balancebench.contracts import FeaturePredictor, Predictor
from balancebench.data import LabelledImages, Origin, class_counts
from balancebench.errors import BalancerError, ClassifierError, DataError
from balancebench.evaluation import Report
from balancebench.stages.balancing import fit_context, plan_context, read_images
from balancebench.stages.epoch_track import EpochTrack
from balancebench.stages.input_files import handed_out
from balancebench.stages.training_checkpoints import TrainingCheckpoints
from balancebench.stages.workplace import Workplace
from balancebench.step import BalancingInputs
from balancebench.training_plan import TrainingPlan

__all__ = ["run_train"]


def run_train(workplace: Workplace) -> None:
    """Train, and write the test logits of the last epoch and of each best epoch asked for."""
    inputs = workplace.inputs(BalancingInputs)
    subset = Subset.read(workplace.store, inputs.subset, inputs.dataset)
    train, test = subset.train, subset.test
    balancer = workplace.build("balancer", "component")
    classifier = workplace.build("classifier", "classifier")
    synthetic = read_images(workplace, inputs.balancer, train)
    with handed_out(balancer.component.name, train):
        plan = balancer.object.plan(train, synthetic, plan_context(workplace, balancer, train, inputs.balancer))
    if not isinstance(plan, TrainingPlan):
        raise BalancerError(f"{balancer.component.name} planned {type(plan).__name__}, not a TrainingPlan")
    name = classifier.component.name
    tracks = _tracks(workplace, subset)
    curves: list[dict[str, float]] = []

    def epoch_finished(epoch: int, predictor: Predictor, values: Mapping[str, float]) -> None:
        curves.append({"epoch": epoch, **{curve: float(value) for curve, value in values.items()}})
        if tracks:
            test_logits_NK = _predicted(name, predictor, test)
            for track in tracks:
                own = test_logits_NK if track.split == "test" else _predicted(name, predictor, track.images)
                track.add(epoch, own, test_logits_NK)

    checkpoints = TrainingCheckpoints(
        folder=workplace.store.checkpoint_folder(workplace.step.key),
        seconds=workplace.checkpoint_seconds,
        workplace=workplace,
        components=(balancer, classifier),
        curves=curves,
        tracks=tracks,
    )
    seed = workplace.step.settings["classifier_seed"]
    context = fit_context(workplace, seed, epoch_finished=epoch_finished, checkpoints=checkpoints)
    with handed_out(name, *(phase.images for phase in plan.phases)):
        predictor = classifier.object.fit(plan, context)
    logits_NK: dict[Report, NDArray[np.float32]] = {"last": _predicted(name, predictor, test)}
    for track in tracks:
        if track.best_logits_NK is None:
            raise ClassifierError(f"{name} reported no epoch, so there is no best one")
        logits_NK[track.report] = track.best_logits_NK
    if workplace.step.keep_weights and isinstance(predictor, FeaturePredictor):
        predictor.save(weights_folder(workplace.results))
    result = TrainingResult(
        description=TrainingDescription(
            curves=curves,
            epoch_losses={track.split: track.losses_E for track in tracks},
            best_epochs={track.report: track.best_epoch for track in tracks},
            phases=[_phase_counts(phase.images) for phase in plan.phases],
        ),
        logits_NK=logits_NK,
        epoch_predictions_EN={track.split: np.stack(track.predictions_EN) for track in tracks},
    )
    result.write(workplace.results)


def _tracks(workplace: Workplace, subset: Subset) -> list[EpochTrack]:
    """Return what follows the epochs: a track for each split whose best epoch is reported."""
    tracks: list[EpochTrack] = []
    for split in workplace.step.settings["track"]:
        images = subset.test if split == "test" else subset.validation
        if images is None:
            raise DataError(
                "the suite reports best_validation, but the dataset has no validation images; "
                "add `validation = { source = 'kept', fraction = 0.1 }` to [run]"
            )
        tracks.append(EpochTrack(split, images))
    return tracks


def _predicted(name: str, predictor: Any, images: LabelledImages) -> NDArray[np.float32]:
    logits_NK = predictor.predict_logits(images.images_NCHW)
    if logits_NK.shape != (len(images), images.class_count) or logits_NK.dtype != np.float32:
        raise ClassifierError(
            f"{name} predicted {logits_NK.dtype} {logits_NK.shape} for {len(images)} images of "
            f"{images.class_count} classes"
        )
    return logits_NK


def _phase_counts(images: LabelledImages) -> dict[str, list[int]]:
    """Return, for each origin that occurs, the images of each class."""
    counts = {
        origin.name.lower(): class_counts(images.labels_N[images.origins_N == origin], images.class_count).tolist()
        for origin in Origin
    }
    return {name: counts_K for name, counts_K in counts.items() if any(counts_K)}
