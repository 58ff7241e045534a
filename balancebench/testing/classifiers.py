"""Checks of classifiers, on the CPU with smoke options.

Axis suffixes: N images, K classes.
"""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.component import Component
from balancebench.contracts import Classifier, Predictor
from balancebench.data import LabelledImages
from balancebench.errors import ClassifierError
from balancebench.testing.contexts import fit_context
from balancebench.testing.subject import Body, build, check_refusal, device_of, image_arrays
from balancebench.testing.tiny import tiny_training_set
from balancebench.testing.watch import expect_untouched, global_random_state_untouched, other_global_seeds
from balancebench.training_plan import LossContext, Phase, Restart, TrainingPlan

__all__ = ["CLASSIFIER_CHECKS"]

ClassifierComponent = Component[Any, Classifier]
COUNTS = (16, 8, 3)


def predicts_logits_of_every_class(component: ClassifierComponent) -> None:
    """`predict_logits` gives finite float32 logits_NK, one row an image, for any number of images."""
    train = tiny_training_set(COUNTS)
    predictor = _fitted(component, TrainingPlan(phases=(Phase(images=train),)))
    for count in (1, 7, len(train)):
        _check_logits(predictor.predict_logits(train.images_NCHW[:count]), count, train.class_count)


def predicts_logits_for_colour_images(component: ClassifierComponent) -> None:
    """Three channels work as one does."""
    train = tiny_training_set(COUNTS, channels=3)
    predictor = _fitted(component, TrainingPlan(phases=(Phase(images=train),)))
    _check_logits(_logits(predictor, train), len(train), train.class_count)


def handles_or_refuses_small_and_oblong_images(component: ClassifierComponent) -> None:
    """Images of 8x8 and of 16x12 are trained on, or refused with ClassifierError."""
    for height, width in ((8, 8), (16, 12)):
        train = tiny_training_set(COUNTS, height=height, width=width)
        predictor = _fits(component, TrainingPlan(phases=(Phase(images=train),)))
        if predictor:
            _check_logits(_logits(predictor, train), len(train), train.class_count)


def predicts_each_image_by_itself(component: ClassifierComponent) -> None:
    """A prediction depends on its own image alone: not on its batch, nor on earlier predictions."""
    train = tiny_training_set(COUNTS)
    predictor = _fitted(component, TrainingPlan(phases=(Phase(images=train),)))
    all_NK = _logits(predictor, train)
    alone_NK = np.concatenate([predictor.predict_logits(train.images_NCHW[index : index + 1]) for index in range(3)])
    scale = float(np.abs(all_NK).max())
    assert np.allclose(alone_NK, all_NK[:3], rtol=1e-3, atol=1e-4 * scale), "an image alone gets other logits"
    assert np.array_equal(_logits(predictor, train), all_NK), "predicting again gives other logits"


def same_seed_gives_the_same_result(component: ClassifierComponent) -> None:
    """Two fits with one seed give the same logits, bit for bit."""
    train = tiny_training_set(COUNTS)
    results: list[NDArray[np.float32]] = []
    for global_seed in (1, 2):
        with other_global_seeds(global_seed):
            predictor = _fitted(component, TrainingPlan(phases=(Phase(images=train),)), seed=5)
            results.append(_logits(predictor, train))
    assert np.array_equal(results[0], results[1]), "two fits with one seed give other logits"


def counts_what_it_spends(component: ClassifierComponent) -> None:
    """`context.count` hears of images and steps: cost is compared too."""
    heard = _Heard()
    _fitted(component, TrainingPlan(phases=(Phase(images=tiny_training_set(COUNTS)),)), heard=heard)
    assert heard.images > 0, "it counts no images; call context.count(images, steps)"
    assert heard.steps > 0, "it counts no optimiser steps; call context.count(images, steps)"


def reports_every_epoch(component: ClassifierComponent) -> None:
    """`context.epoch_finished` is called with 0, 1, 2, ..., a working predictor, and finite numbers."""
    train = tiny_training_set(COUNTS)
    heard = _Heard(predict=train)
    _fitted(component, TrainingPlan(phases=(Phase(images=train),)), heard=heard)
    assert heard.epochs, "it never calls context.epoch_finished"
    assert heard.epochs == list(range(len(heard.epochs))), f"its epochs are numbered {heard.epochs}"
    for values in heard.values:
        wrong = [name for name, value in values.items() if not np.isfinite(value)]
        assert not wrong, f"after an epoch it reports {wrong[0]} = {values[wrong[0]]}"


def says_when_a_phase_starts(component: ClassifierComponent) -> None:
    """`context.phase_started` is called with 0, 1, ... where a plan with a new head in its second phase is followed."""
    train = tiny_training_set(COUNTS)
    heard = _Heard()
    plan = TrainingPlan(phases=(Phase(images=train, share=0.5), Phase(images=train, share=0.5, reset_head=True)))
    try:
        _fitted(component, plan, heard=heard)
    except ClassifierError as error:
        check_refusal(error)
        return
    assert heard.phases == [0, 1], (
        f"of a plan of two phases it says that {heard.phases} start: call context.phase_started(index) as each begins"
    )


def leaves_its_inputs_alone(component: ClassifierComponent) -> None:
    """The plan's images may be shared and memory-mapped."""
    train = tiny_training_set(COUNTS)
    weight_N = np.ones(len(train))
    weight_N.setflags(write=False)
    plan = TrainingPlan(phases=(Phase(images=train, sampling_weight_N=weight_N),))
    with expect_untouched({**image_arrays("the training", train), "the sampling weights": weight_N}):
        _logits(_fitted(component, plan), train)


def leaves_global_random_state_alone(component: ClassifierComponent) -> None:
    """Initialisation, shuffling, dropout and augmentation draw from generators seeded by context.seed."""
    train = tiny_training_set(COUNTS)
    with global_random_state_untouched():
        _logits(_fitted(component, TrainingPlan(phases=(Phase(images=train),))), train)


def trains_where_a_class_has_no_images(component: ClassifierComponent) -> None:
    """A class without training images keeps its column of logits."""
    train = tiny_training_set((20, 8, 0))
    predictor = _fitted(component, TrainingPlan(phases=(Phase(images=train),)))
    _check_logits(_logits(predictor, train), len(train), 3)


def follows_losses_and_sampling_weights(component: ClassifierComponent) -> None:
    """Each phase is trained with its own loss, in order, on images drawn by its weights; or refused."""
    train = tiny_training_set(COUNTS)
    phases: list[Phase] = []
    called: list[tuple[int, set[int]]] = []
    for number, label in enumerate((2, 0)):
        weight_N = (train.labels_N == label).astype(np.float64)
        phases.append(Phase(images=train, loss=_recording(number, called), sampling_weight_N=weight_N))
    if not _fits(component, TrainingPlan(phases=tuple(phases))):
        return
    order = [number for number, _ in called]
    assert set(order) == {0, 1}, f"of two phases' losses it calls those of {sorted(set(order))}"
    assert order == sorted(order), "it does not train the phases one after the other"
    for number, label in enumerate((2, 0)):
        seen = set[int]().union(*(labels for phase, labels in called if phase == number))
        assert seen == {label}, f"phase {number} draws class {label} alone, but its loss sees classes {sorted(seen)}"


def follows_losses_that_read_features(component: ClassifierComponent) -> None:
    """A feature_loss is called with what the last layer reads, and trained by; or refused."""
    import torch

    train = tiny_training_set(COUNTS)
    shapes: set[tuple[int, int]] = set()

    def loss(logits_NK: torch.Tensor, labels_N: torch.Tensor, context: LossContext) -> torch.Tensor:
        features_ND, generator = context.features_ND, context.generator
        shapes.add((len(labels_N) - len(features_ND), features_ND.ndim))
        torch.rand(1, generator=generator, device=generator.device)
        return torch.nn.functional.cross_entropy(logits_NK, labels_N, reduction="none") + features_ND.square().mean(1)

    if _fits(component, TrainingPlan(phases=(Phase(images=train, feature_loss=loss),))):
        assert shapes == {(0, 2)}, "it does not call the plan's feature_loss with features_ND of the batch"


def follows_batch_transforms_and_adjustments(component: ClassifierComponent) -> None:
    """Batch transform, adjust_head and adjust_logits are applied; or the plan is refused with ClassifierError."""
    import torch

    called: set[str] = set()
    train = tiny_training_set(COUNTS)

    def transform(batch: Any, source: Any) -> Any:
        called.add("batch_transform")
        other = source.draw(len(batch.labels_N))
        share_N = torch.full((len(batch.labels_N),), 0.75, device=batch.images_NCHW.device)
        mixed_NCHW = 0.75 * batch.images_NCHW + 0.25 * other.images_NCHW
        return replace(batch, images_NCHW=mixed_NCHW, second_labels_N=other.labels_N, first_weight_N=share_N)

    def adjust_head(weight_KD: torch.Tensor) -> torch.Tensor:
        called.add("adjust_head")
        return weight_KD * 0.5

    def adjust_logits(logits_NK: torch.Tensor) -> torch.Tensor:
        return logits_NK * 0 + torch.arange(logits_NK.shape[1], device=logits_NK.device)

    plain, mixed = Phase(images=train), Phase(images=train, batch_transform=transform)
    for part, plan in {
        "batch_transform": TrainingPlan(phases=(mixed,)),
        "adjust_head": TrainingPlan(phases=(plain,), adjust_head=adjust_head),
        "adjust_logits": TrainingPlan(phases=(plain,), adjust_logits=adjust_logits),
    }.items():
        predictor = _fits(component, plan)
        if predictor is None:
            continue
        logits_NK = predictor.predict_logits(train.images_NCHW[:5])
        if part == "adjust_logits" and np.array_equal(logits_NK, np.tile(np.arange(3.0), (5, 1))):
            called.add(part)
        assert part in called, f"it does not apply the plan's {part}"


def trains_a_second_phase_on_the_head_alone(component: ClassifierComponent) -> None:
    """A reset head, trained alone, restarted and class-balanced (cRT), and a cosine head, train; or are refused.

    The first with the rest's batch normalisation frozen and in training.
    """
    train = tiny_training_set(COUNTS)
    counts_K = train.counts_K
    second = Phase(
        images=train,
        share=0.5,
        sampling_weight_N=1.0 / counts_K[train.labels_N],
        trainable="head",
        reset_head=True,
        restart=Restart(learning_rate=0.01, schedule="cosine"),
    )
    for plan in (
        TrainingPlan(phases=(Phase(images=train), second)),
        TrainingPlan(phases=(Phase(images=train), replace(second, batch_norm="train"))),
        TrainingPlan(phases=(Phase(images=train),), head="cosine"),
    ):
        predictor = _fits(component, plan)
        if predictor:
            _check_logits(_logits(predictor, train), len(train), train.class_count)


CLASSIFIER_CHECKS: tuple[Body, ...] = (
    predicts_logits_of_every_class,
    predicts_logits_for_colour_images,
    handles_or_refuses_small_and_oblong_images,
    predicts_each_image_by_itself,
    same_seed_gives_the_same_result,
    counts_what_it_spends,
    reports_every_epoch,
    says_when_a_phase_starts,
    leaves_its_inputs_alone,
    leaves_global_random_state_alone,
    trains_where_a_class_has_no_images,
    follows_losses_and_sampling_weights,
    follows_losses_that_read_features,
    follows_batch_transforms_and_adjustments,
    trains_a_second_phase_on_the_head_alone,
)


@dataclass(slots=True)
class _Heard:
    """What a classifier tells the harness while it trains. predict: images to predict after each epoch."""

    predict: LabelledImages | None = None
    images: int = 0
    steps: int = 0
    epochs: list[int] = field(default_factory=list[int])
    phases: list[int] = field(default_factory=list[int])
    values: list[Mapping[str, float]] = field(default_factory=list[Mapping[str, float]])

    def count(self, images: int, steps: int) -> None:
        self.images += images
        self.steps += steps

    def epoch_finished(self, epoch: int, predictor: Predictor, values: Mapping[str, float]) -> None:
        self.epochs.append(epoch)
        self.values.append(dict(values))
        if self.predict is not None:
            logits_NK = _logits(predictor, self.predict)
            _check_logits(logits_NK, len(self.predict), self.predict.class_count)


def _fitted(
    component: ClassifierComponent, plan: TrainingPlan, seed: int = 0, heard: _Heard | None = None
) -> Predictor:
    heard = heard or _Heard()
    context = fit_context(
        seed,
        device=device_of(component),
        epoch_finished=heard.epoch_finished,
        phase_started=heard.phases.append,
        count=heard.count,
    )
    return build(component).fit(plan, context)


def _fits(component: ClassifierComponent, plan: TrainingPlan) -> Predictor | None:
    """Return the predictor, or None where the classifier refuses what not every classifier can do."""
    try:
        return _fitted(component, plan)
    except ClassifierError as error:
        check_refusal(error)
        return None


def _recording(phase: int, called: list[tuple[int, set[int]]]) -> Callable[[Any, Any], Any]:
    """Return a loss that notes the phase it is called in and the labels it sees."""

    def loss(logits_NK: Any, labels_N: Any) -> Any:
        import torch

        assert logits_NK.dtype == torch.float32, f"it gives its loss logits of {logits_NK.dtype}, not float32"
        called.append((phase, set(labels_N.tolist())))
        return torch.nn.functional.cross_entropy(logits_NK, labels_N, reduction="none")

    return loss


def _logits(predictor: Predictor, images: LabelledImages) -> Any:
    return predictor.predict_logits(np.asarray(images.images_NCHW))


def _check_logits(logits_NK: Any, image_count: int, class_count: int) -> None:
    assert isinstance(logits_NK, np.ndarray), f"predict_logits returns {type(logits_NK).__name__}, not an array"
    shown = f"{logits_NK.dtype} of shape {logits_NK.shape}"
    expected = (image_count, class_count)
    assert logits_NK.dtype == np.float32 and logits_NK.shape == expected, (  # noqa: PT018
        f"predict_logits returns {shown}; give float32 of shape {expected}, images by classes"
    )
    assert np.isfinite(logits_NK).all(), "predict_logits returns values that are not finite"
