"""The training loop: one model through the phases of a plan, knowing nothing of any method.

Steps never wait for the device: losses add up there and are read once an epoch.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage] - the base has no public name
from torch.optim import Optimizer

from balancebench.contracts import FitContext
from balancebench.data import LabelledImages
from balancebench.errors import ClassifierError
from balancebench.training.augment import AUGMENTATIONS
from balancebench.training.capacity import image_budget_bytes
from balancebench.training.compilation import compilation_reason, compiled
from balancebench.training.model import ImageModel
from balancebench.training.normalise import Normaliser, Pixels
from balancebench.training.optimiser_step import (
    FeaturesRead,
    Network,
    ParameterGroup,
    TrainingStep,
    cross_entropy,
    forget,
    make_optimiser,
    set_learning_rate,
)
from balancebench.training.options import TrainingOptions
from balancebench.training.predict import ModelPredictor
from balancebench.training.resident import BatchDrawer, ResidentImages
from balancebench.training.schedule import PhaseSchedule, schedule_phases
from balancebench.training.streamed import StreamedImages
from balancebench.training.training_state import EpochState, Position, SavedState, write_state
from balancebench.training.visiting_order import WINDOW_BYTES
from balancebench.training_plan import Phase

__all__ = ["GroupParameters", "ImageSets", "Run", "train"]

SECONDS_BETWEEN_REPORTS = 0.5
BLOCKS_IN_BUDGET = 4  # two blocks are held, and what is made of them takes room too
MIB = 2**20

logger = logging.getLogger(__name__)


class ImageSets:
    """The image sets of a plan on the device: each uploaded once, when first needed, and gone after its last phase.

    Sets that do not fit into the share of the device's memory that is free for them now are streamed.
    """

    def __init__(self, phases: Sequence[Phase], device: torch.device) -> None:
        self._device = device
        self._budget_bytes = image_budget_bytes(device)
        self._last_phase = {id(phase.images): index for index, phase in enumerate(phases)}
        self._held: dict[int, ResidentImages | StreamedImages] = {}

    def on_device(self, images: LabelledImages) -> ResidentImages | StreamedImages:
        """Return the images of one phase, on the device or on their way to it."""
        if id(images) not in self._held:
            self._held[id(images)] = self._hold(images)
        return self._held[id(images)]

    def pixels(self, images: LabelledImages) -> Pixels:
        """Return the pixels of any images on the device; those that no phase trains on are not kept there."""
        held = self.on_device(images) if id(images) in self._last_phase else self._hold(images)
        return held.images_NCHW

    def _hold(self, images: LabelledImages) -> ResidentImages | StreamedImages:
        resident = sum(held.nbytes for held in self._held.values() if isinstance(held, ResidentImages))
        size, room = images.images_NCHW.nbytes, self._budget_bytes - resident
        fits = size <= room
        logger.info(
            "%d images of %.1f MiB are %s %s, which has %.1f MiB for them",
            len(images),
            size / MIB,
            "held by" if fits else "streamed to",
            self._device,
            room / MIB,
        )
        if fits:
            return ResidentImages.upload(images, self._device)
        return StreamedImages(
            images, self._device, block_bytes=min(WINDOW_BYTES, self._budget_bytes // BLOCKS_IN_BUDGET)
        )

    def release_after(self, phase_index: int) -> None:
        """Let go of the sets that no phase after this one uses."""
        self._held = {key: held for key, held in self._held.items() if self._last_phase[key] > phase_index}


GroupParameters = Callable[[ImageModel], list[ParameterGroup]]
"""Every parameter of the model in exactly one group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What stays the same through all phases of one training run.

    generator: on the model's device; everything about batches is drawn from it. output: applied to the logits before
    the loss, or None. predictor: of `model`, handed out after each epoch. parameter_groups: what the optimiser gets;
    None: all parameters alike.
    """

    model: ImageModel
    options: TrainingOptions
    context: FitContext
    image_sets: ImageSets
    normaliser: Normaliser
    generator: Generator
    predictor: ModelPredictor
    output: Callable[[Tensor], Tensor] | None = None
    parameter_groups: GroupParameters | None = None


def train(run: Run, phases: Sequence[Phase]) -> None:
    """Train the run's model in place through all phases; leave it in evaluation mode.

    Raises ClassifierError where a loss is not finite.
    """
    schedules = schedule_phases(run.options, phases)
    report = _Report(run.context, schedules)
    compiles, reason = compilation_reason(
        run.context.compilation,
        device=run.generator.device,
        deterministic=run.context.deterministic,
        steps=report.total_steps,
    )
    run.context.note("compiled", f"{'yes' if compiles else 'no'}: {reason}")
    folder = None if run.context.checkpoints is None else run.context.checkpoints.latest()
    saved = None if folder is None else SavedState(folder)
    with compiled(run.model, run.generator.device) if compiles else nullcontext(run.model) as network:
        _train_phases(run, phases, schedules, network, report, saved)
    run.model.eval()


def _train_phases(
    run: Run,
    phases: Sequence[Phase],
    schedules: Sequence[PhaseSchedule],
    network: Network,
    report: _Report,
    saved: SavedState | None,
) -> None:
    learnable = [parameter for parameter in run.model.backbone.parameters() if parameter.requires_grad]
    optimiser: Optimizer | None = None
    for index, (phase, schedule) in enumerate(zip(phases, schedules, strict=True)):
        if optimiser is None or schedule.fresh_optimiser:
            # Over everything, also where this phase trains the head alone: a later phase may go on with it.
            groups = run.model.parameters() if run.parameter_groups is None else run.parameter_groups(run.model)
            optimiser = make_optimiser(groups, run.options, run.generator.device)
        if saved is not None and index < saved.position.phase:
            run.image_sets.release_after(index)
            continue
        begun = saved if saved is not None and index == saved.position.phase else None
        if begun is not None:
            begun.put_back(run.model, optimiser, run.generator)
        else:
            run.context.phase_started(index)
            if phase.reset_head:
                run.model.head.reset(run.generator)
                forget(optimiser, run.model.head.parameters())
        for parameter in learnable:
            parameter.requires_grad_(phase.trainable == "all")
            parameter.grad = None
        _train_phase(run, index, phase, schedule, network, optimiser, report, begun)
        run.image_sets.release_after(index)
    for parameter in learnable:
        parameter.requires_grad_(True)


def _train_phase(
    run: Run,
    index: int,
    phase: Phase,
    schedule: PhaseSchedule,
    network: Network,
    optimiser: Optimizer,
    report: _Report,
    begun: SavedState | None,
) -> None:
    """Train through one phase, from its beginning or from inside an epoch of it where that has begun before."""
    augment = AUGMENTATIONS[run.options.augmentation]
    drawer = BatchDrawer(run.image_sets.on_device(phase.images), augment, run.normaliser, run.generator)
    step = TrainingStep(
        network=network,
        optimiser=optimiser,
        loss=phase.loss or cross_entropy,
        precision=run.context.precision,
        output=run.output,
        reads_features=None
        if phase.feature_loss is None
        else FeaturesRead(loss=phase.feature_loss, model=run.model, generator=run.generator),
    )
    first_epoch = 0 if begun is None else begun.position.epoch
    for epoch, steps in list(enumerate(schedule.epoch_steps))[first_epoch:]:
        _set_modes(run.model, phase)
        if begun is not None and epoch == first_epoch:
            indices_SB, loss_sum = begun.epoch(run.generator.device)
            report.go_on(begun.position, steps - len(indices_SB))
        else:
            indices_SB = drawer.epoch_indices(steps, schedule.batch_size, phase.sampling_weight_N)
            loss_sum = torch.zeros((), device=run.generator.device)
        stretch_step = schedule.first_step + epoch * schedule.steps_per_epoch + steps - len(indices_SB)
        batches = drawer.batches(indices_SB, schedule.last_batch_of(steps))
        for taken, drawn in enumerate(batches, start=1):
            set_learning_rate(optimiser, schedule.learning_rate.at(stretch_step))
            batch = drawn if phase.batch_transform is None else phase.batch_transform(drawn, drawer)
            loss_sum += step(batch)
            stretch_step += 1
            report.step_finished()
            if run.context.checkpoints is not None and run.context.checkpoints.due():
                write = partial(
                    write_state,
                    position=Position(phase=index, epoch=epoch, interruptions=report.interruptions),
                    epoch=EpochState(indices_SB=indices_SB[taken:], loss_sum=loss_sum),
                    model=run.model,
                    optimiser=optimiser,
                    generator=run.generator,
                )
                run.context.checkpoints.save(write)
        run.context.count(schedule.images_in(steps), steps)
        mean_loss = report.epoch_finished(loss_sum / steps)
        values = {"loss": mean_loss, "learning_rate": schedule.learning_rate.at(stretch_step - 1)}
        run.context.epoch_finished(report.epochs - 1, run.predictor, values)


def _set_modes(model: ImageModel, phase: Phase) -> None:
    model.train()
    if phase.trains_batch_norm:
        return
    if phase.trainable == "head":
        model.backbone.eval()
        return
    for module in model.backbone.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


class _Report:
    """Counts steps and epochs, and says a few times a second how far the run is."""

    def __init__(self, context: FitContext, schedules: Sequence[PhaseSchedule]) -> None:
        self._context = context
        self._schedules = schedules
        self.total_steps = sum(schedule.steps for schedule in schedules)
        self._total_epochs = sum(len(schedule.epoch_steps) for schedule in schedules)
        self._steps = 0
        self._loss = ""
        self._next_report = time.monotonic() + SECONDS_BETWEEN_REPORTS
        self.epochs = 0
        self.interruptions: tuple[int, ...] = ()

    def go_on(self, position: Position, epoch_steps: int) -> None:
        """Count on from inside an epoch, of which so many steps are done, and say so in the record."""
        before, schedule = self._schedules[: position.phase], self._schedules[position.phase]
        self.epochs = sum(len(earlier.epoch_steps) for earlier in before) + position.epoch
        phase_steps = position.epoch * schedule.steps_per_epoch + epoch_steps
        self._steps = sum(earlier.steps for earlier in before) + phase_steps
        self.interruptions = (*position.interruptions, self._steps)
        plural = "s" if len(self.interruptions) > 1 else ""
        steps = ", ".join(str(step) for step in self.interruptions)
        self._context.note("continued", f"after interruption{plural} at step{plural} {steps}")

    def step_finished(self) -> None:
        self._steps += 1
        if time.monotonic() >= self._next_report:
            self._say(self.epochs + 1)

    def epoch_finished(self, mean_loss: Tensor) -> float:
        """Read the epoch's loss, the one moment the run waits for the device, and return it."""
        loss = float(mean_loss)
        self.epochs += 1
        if not math.isfinite(loss):
            raise ClassifierError(
                f"training diverged: the loss is not finite after epoch {self.epochs} of {self._total_epochs}; "
                "a lower learning_rate, or a warmup, may help"
            )
        self._loss = f" loss {loss:.3g}"
        self._say(self.epochs)
        return loss

    def _say(self, epoch: int) -> None:
        self._context.progress(self._steps, self.total_steps, f"epoch {epoch}/{self._total_epochs}{self._loss}")
        self._next_report = time.monotonic() + SECONDS_BETWEEN_REPORTS
