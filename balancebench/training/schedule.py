"""How many steps each phase of a plan gets, and the learning rate of each step. Pure arithmetic, no torch.

A *stretch* is the run of phases from one restart to the next: its schedule spans all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from balancebench.training.options import Schedule, TrainingOptions
from balancebench.training_plan import Phase

__all__ = ["LearningRate", "PhaseSchedule", "schedule_phases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningRate:
    """The learning rate over the `total_steps` of one stretch.

    peak: the learning rate that factors multiply. warmup_steps: it rises linearly over these, every `steps_a_rise`
    steps, and reaches `peak` in the last of them. Afterwards: "constant" stays; "cosine" falls to `lowest` over the
    steps after the warm-up (Loshchilov and Hutter 2017, "SGDR", eq. 5, one cycle); "multi_step" is peak * factors[i]
    from round(milestones[i] * total_steps) on.
    """

    schedule: Schedule
    peak: float
    total_steps: int
    warmup_steps: int = 0
    steps_a_rise: int = 1
    milestones: tuple[float, ...] = ()
    factors: tuple[float, ...] = ()
    lowest: float = 0.0

    def at(self, step: int) -> float:
        """Return the learning rate of step 0..total_steps - 1."""
        if step < self.warmup_steps:
            return self.peak * (step // self.steps_a_rise + 1) * self.steps_a_rise / self.warmup_steps
        match self.schedule:
            case "constant":
                return self.peak
            case "cosine":
                progress = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
                return self.lowest + (self.peak - self.lowest) * 0.5 * (1.0 + math.cos(math.pi * progress))
            case "multi_step":
                passed = sum(step >= round(milestone * self.total_steps) for milestone in self.milestones)
                return self.peak * (self.factors[passed - 1] if passed else 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSchedule:
    """The steps of one phase.

    batch_size: images in each batch, at most the phase's images. last_batch_size: images in the last batch of a whole
    epoch. steps: of the whole phase. steps_per_epoch: after so many an epoch ends; the last epoch ends with the phase.
    fresh_optimiser: a stretch begins here. first_step: steps of the stretch before this phase.
    """

    batch_size: int
    last_batch_size: int
    steps: int
    steps_per_epoch: int
    fresh_optimiser: bool
    first_step: int
    learning_rate: LearningRate

    @property
    def epoch_steps(self) -> list[int]:
        """The steps of each epoch of the phase, in order."""
        whole, rest = divmod(self.steps, self.steps_per_epoch)
        return [self.steps_per_epoch] * whole + ([rest] if rest else [])

    def last_batch_of(self, epoch_steps: int) -> int:
        """Return the images in the last batch of an epoch of so many steps."""
        return self.last_batch_size if epoch_steps == self.steps_per_epoch else self.batch_size

    def images_in(self, epoch_steps: int) -> int:
        """Return the images in all batches of an epoch of so many steps."""
        return (epoch_steps - 1) * self.batch_size + self.last_batch_of(epoch_steps)


def schedule_phases(options: TrainingOptions, phases: Sequence[Phase]) -> tuple[PhaseSchedule, ...]:
    """Divide the budget among the phases.

    Phase i ends when round(budget * (share_0 + ... + share_i)) epochs (or steps) are spent, moved where needed so that
    every phase lasts at least one: shares that sum to 1 spend the budget exactly, unless there are more phases than
    epochs in it, when each gets one.
    An epoch is len(images) // batch_size steps; the last, partial batch is dropped, but in the recipe of Cao et al.
    (LDAM-DRW, cifar_train.py), where it is kept if it has two images or more. Fewer images than a batch make one batch
    of all of them. The warm-up belongs to the first stretch: only a new network needs one. In that recipe it is a
    number of whole epochs (of the first phase), each with one learning rate.
    """
    sizes = [min(options.batch_size, len(phase.images)) for phase in phases]
    last_sizes = [_last_batch_size(options, len(phase.images), size) for phase, size in zip(phases, sizes, strict=True)]
    epochs = [
        len(phase.images) // size + (last_size < size)
        for phase, size, last_size in zip(phases, sizes, last_sizes, strict=True)
    ]
    steps = _divide(options, [phase.share for phase in phases], epochs)
    begins = [index for index, phase in enumerate(phases) if index == 0 or phase.restart is not None]

    schedules: list[PhaseSchedule] = []
    for begin, end in zip(begins, [*begins[1:], len(phases)], strict=True):
        total_steps = sum(steps[begin:end])
        restart = phases[begin].restart
        steps_a_rise = epochs[0] if options.recipe == "cao2019" else 1
        learning_rate = LearningRate(
            schedule=(restart and restart.schedule) or options.schedule,
            peak=(restart and restart.learning_rate) or options.learning_rate,
            total_steps=total_steps,
            warmup_steps=round(options.warmup * total_steps / steps_a_rise) * steps_a_rise if begin == 0 else 0,
            steps_a_rise=steps_a_rise,
            milestones=options.milestones,
            factors=options.factors,
            lowest=options.lowest_learning_rate,
        )
        schedules += [
            PhaseSchedule(
                batch_size=sizes[index],
                last_batch_size=last_sizes[index],
                steps=steps[index],
                steps_per_epoch=epochs[index],
                fresh_optimiser=index == begin,
                first_step=sum(steps[begin:index]),
                learning_rate=learning_rate,
            )
            for index in range(begin, end)
        ]
    return tuple(schedules)


def _last_batch_size(options: TrainingOptions, image_count: int, batch_size: int) -> int:
    """Return the images in the last batch of an epoch: a partial one's where the recipe keeps it."""
    left_over = image_count % batch_size
    # Batch normalisation in training cannot tell one image from its mean.
    return left_over if options.recipe == "cao2019" and left_over > 1 else batch_size


def _divide(options: TrainingOptions, shares: Sequence[float], steps_per_epoch: Sequence[int]) -> list[int]:
    budget = options.epochs or options.steps or 0
    whole = max(len(shares), round(budget * math.fsum(shares)))
    ends: list[int] = []
    for index in range(len(shares)):
        earliest = (ends[-1] if ends else 0) + 1
        latest = whole - (len(shares) - 1 - index)  # the phases after this one get theirs too
        ends.append(min(latest, max(earliest, round(budget * math.fsum(shares[: index + 1])))))
    amounts = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    if options.steps is not None:
        return amounts
    return [amount * steps for amount, steps in zip(amounts, steps_per_epoch, strict=True)]
