"""Stage `train`: a classifier trained on a balancer's plan, and its logits on the test images.

Plugins see test images only when the harness asks for their logits, and never see test labels.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.subset import Subset
from balancebench.artefacts.training_result import TrainingDescription, TrainingResult, weights_folder
from balancebench.contracts import FeaturePredictor, Predictor
from balancebench.data import LabelledImages, Origin, class_counts
from balancebench.errors import BalancerError, ClassifierError, DataError
from balancebench.evaluation import Report
from balancebench.large_images import ImageRows
from balancebench.stages.balancing import fit_context, plan_context, read_images
from balancebench.stages.epoch_track import EpochTrack
from balancebench.stages.input_files import handed_out
from balancebench.stages.judge import judge_validation
from balancebench.stages.origin_guard import guard_planned_images
from balancebench.stages.training_checkpoints import TrainingCheckpoints
from balancebench.stages.workplace import Workplace
from balancebench.step import BalancingInputs
from balancebench.training_plan import TrainingPlan

__all__ = ["run_train"]


def run_train(workplace: Workplace) -> None:
    """Train, and write the test logits of the last epoch and of each best epoch asked for."""
    inputs = workplace.inputs(BalancingInputs)
    subset = Subset.read(workplace.store, inputs.subset, inputs.dataset)
    train = subset.train
    balancer = workplace.build("balancer", "component")
    classifier = workplace.build("classifier", "classifier")
    name = classifier.component.name
    synthetic = read_images(workplace, inputs.balancer, train)
    with handed_out(balancer.component.name, train):
        plan = balancer.object.plan(train, synthetic, plan_context(workplace, balancer, train, inputs.balancer))
    if not isinstance(plan, TrainingPlan):
        raise BalancerError(f"{balancer.component.name} planned {type(plan).__name__}, not a TrainingPlan")
    guard_planned_images(workplace, balancer.component.name, plan, train, synthetic, subset)
    validation = subset.validation
    tracks = _tracks(workplace, inputs.dataset, validation)
    curves: list[dict[str, float]] = []

    def predicted(predictor: Predictor, images_NCHW: NDArray[np.uint8] | ImageRows) -> NDArray[np.float32]:
        return _checked(name, predictor.predict_logits(cast("NDArray[np.uint8]", images_NCHW)), images_NCHW, train)

    def epoch_finished(epoch: int, predictor: Predictor, values: Mapping[str, float]) -> None:
        curves.append({"epoch": epoch, **{curve: float(value) for curve, value in values.items()}})
        workplace.epoch_ended(epoch, {curve: value for curve, value in curves[-1].items() if curve != "epoch"})
        if tracks:
            logits_NK = {"test": predicted(predictor, subset.test_images_NCHW)}
            if validation is not None and any(track.split == "validation" for track in tracks):
                logits_NK["validation"] = predicted(predictor, validation.images_NCHW)
            for track in tracks:
                track.add(epoch, logits_NK[track.split], logits_NK["test"])

    def phase_started(index: int) -> None:
        if plan.phases[index].begins_stage and curves:
            for track in tracks:
                track.search_from(len(curves))

    checkpoints = TrainingCheckpoints(
        folder=workplace.store.checkpoint_folder(workplace.step.key),
        seconds=workplace.checkpoint_seconds,
        workplace=workplace,
        components=(balancer, classifier),
        curves=curves,
        tracks=tracks,
    )
    seed = workplace.step.settings["classifier_seed"]
    context = fit_context(
        workplace, seed, epoch_finished=epoch_finished, phase_started=phase_started, checkpoints=checkpoints
    )
    with handed_out(name, *(phase.images for phase in plan.phases)):
        predictor = classifier.object.fit(plan, context)
    logits_NK: dict[Report, NDArray[np.float32]] = {"last": predicted(predictor, subset.test_images_NCHW)}
    for track in tracks:
        _check_search(name, plan, track)
        assert track.best_logits_NK is not None  # noqa: S101 - checked just before
        logits_NK[track.report] = track.best_logits_NK
    if workplace.step.keep_weights and isinstance(predictor, FeaturePredictor):
        _keep(workplace, predictor)
    result = TrainingResult(
        description=TrainingDescription(
            curves=curves,
            epoch_losses={track.split: track.losses_E for track in tracks},
            best_epochs={track.report: track.best_epoch for track in tracks},
            searched_from={track.report: track.searched_from for track in tracks},
            phases=[_phase_counts(phase.images) for phase in plan.phases],
        ),
        logits_NK=logits_NK,
        epoch_predictions_EN={track.split: np.stack(track.predictions_EN) for track in tracks},
    )
    result.write(workplace.results)


def _keep(workplace: Workplace, predictor: FeaturePredictor) -> None:
    """Save the network; one that cannot be saved is no reason to lose its training."""
    folder = weights_folder(workplace.results)
    try:
        predictor.save(folder)
    except ClassifierError as error:
        shutil.rmtree(folder)
        workplace.note("weights_not_kept", str(error))


def _tracks(workplace: Workplace, dataset_key: str, validation: LabelledImages | None) -> list[EpochTrack]:
    """Return what follows the epochs: a track for each split whose best epoch is reported."""
    tracks: list[EpochTrack] = []
    for split in workplace.step.settings["track"]:
        if split == "test":
            tracks.append(EpochTrack(split, partial(workplace.judge, dataset_key)))
        elif validation is not None:
            tracks.append(EpochTrack(split, partial(judge_validation, labels_N=validation.labels_N)))
        else:
            raise DataError(
                "the suite reports best_validation, but the dataset has no validation images; "
                "add `validation = { source = 'kept', fraction = 0.1 }` to [run]"
            )
    return tracks


def _check_search(name: str, plan: TrainingPlan, track: EpochTrack) -> None:
    if track.best_logits_NK is None:
        raise ClassifierError(f"{name} reported no epoch, so there is no best one")
    if track.searched_from == 0 and any(phase.begins_stage for phase in plan.phases[1:]):
        raise ClassifierError(
            f"{name} does not say when a phase starts (context.phase_started), so {track.report} would be searched in "
            "the epochs of a stage that the plan ends with a new head or a restart"
        )


def _checked(
    name: str, logits_NK: NDArray[np.float32], images_NCHW: NDArray[np.uint8] | ImageRows, train: LabelledImages
) -> NDArray[np.float32]:
    if logits_NK.shape != (len(images_NCHW), train.class_count) or logits_NK.dtype != np.float32:
        raise ClassifierError(
            f"{name} predicted {logits_NK.dtype} {logits_NK.shape} for {len(images_NCHW)} images of "
            f"{train.class_count} classes"
        )
    return logits_NK


def _phase_counts(images: LabelledImages) -> dict[str, list[int]]:
    """Return, for each origin that occurs, the images of each class."""
    counts = {
        origin.name.lower(): class_counts(images.labels_N[images.origins_N == origin], images.class_count).tolist()
        for origin in Origin
    }
    return {name: counts_K for name, counts_K in counts.items() if any(counts_K)}
