"""The functions of tensors in a training plan: losses, batch transforms, adjustments. Imports torch.

Axis suffixes: N images of a batch, K classes, D features of a head.
"""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from balancebench.training_plan import Batch, Loss, LossContext, Phase, TrainingPlan

__all__ = ["check_callables", "computed"]

BATCH = 12
FEATURES = 5


def check_callables(plan: TrainingPlan) -> None:
    """Fail where a loss, a batch transform or an adjustment gives the wrong shape or dtype."""
    for number, phase in enumerate(plan.phases):
        if (loss := _loss_of(phase)) is not None:
            _check_loss(loss, phase, f"the loss of phase {number}")
        if phase.batch_transform is not None:
            _check_transform(phase, f"the batch transform of phase {number}")
    class_count = len(plan.class_names)
    for name, adjust, width in (
        ("adjust_logits", plan.adjust_logits, class_count),
        ("adjust_head", plan.adjust_head, FEATURES),
    ):
        if adjust is not None:
            rows = BATCH if name == "adjust_logits" else class_count
            adjusted = adjust(_random(rows, width))
            assert adjusted.shape == (rows, width), f"{name} changes the shape to {tuple(adjusted.shape)}"
            assert bool(torch.isfinite(adjusted).all()), f"{name} gives values that are not finite"


def computed(plan: TrainingPlan) -> dict[str, object]:
    """Return what each function computes from fixed tensors, by names for a message."""
    class_count = len(plan.class_names)
    values: dict[str, object] = {}
    if plan.adjust_logits is not None:
        values["adjust_logits"] = plan.adjust_logits(_random(BATCH, class_count)).tolist()
    if plan.adjust_head is not None:
        values["adjust_head"] = plan.adjust_head(_random(class_count, FEATURES)).tolist()
    for number, phase in enumerate(plan.phases):
        if (loss := _loss_of(phase)) is not None:
            values[f"the loss of phase {number}"] = loss(_random(BATCH, class_count), _labels(phase)).tolist()
        if phase.batch_transform is not None:
            values[f"the batch transform of phase {number}"] = _mixed(phase).images_NCHW.tolist()
    return values


@dataclass(slots=True)
class _Source:
    """Draws batches from a phase as the training loop does, unaugmented and scaled to 0..1."""

    phase: Phase
    generator: torch.Generator

    def draw(self, size: int, sampling_weight_N: NDArray[np.float64] | None = None) -> Batch:
        images = self.phase.images
        weight_N = np.ones(len(images)) if sampling_weight_N is None else sampling_weight_N
        drawn = torch.multinomial(torch.tensor(weight_N), size, replacement=True, generator=self.generator).numpy()
        return Batch(
            images_NCHW=torch.tensor(images.images_NCHW[drawn]).float() / 255,
            labels_N=torch.tensor(images.labels_N[drawn]),
        )


def _mixed(phase: Phase) -> Batch:
    assert phase.batch_transform is not None
    source = _Source(phase, torch.Generator().manual_seed(0))
    return phase.batch_transform(source.draw(BATCH), source)


def _loss_of(phase: Phase) -> Loss | None:
    """Return the phase's loss of logits and labels; one that reads features gets some."""
    loss = phase.feature_loss
    if loss is None:
        return phase.loss
    context = LossContext(features_ND=_random(BATCH, FEATURES).relu(), generator=torch.Generator().manual_seed(2))
    return lambda logits_NK, labels_N: loss(logits_NK, labels_N, context)


def _check_loss(loss: Loss, phase: Phase, where: str) -> None:
    class_count = phase.images.class_count
    logits_NK = _random(BATCH, class_count).requires_grad_()
    losses_N = loss(logits_NK, _labels(phase))
    assert losses_N.shape == (BATCH,), f"{where} has shape {tuple(losses_N.shape)}; give one value an image, (N,)"
    assert losses_N.dtype == torch.float32, f"{where} has dtype {losses_N.dtype}, not float32"
    assert bool(torch.isfinite(losses_N).all()), f"{where} is not finite"
    assert losses_N.requires_grad, f"{where} does not depend on the logits"


def _check_transform(phase: Phase, where: str) -> None:
    mixed = _mixed(phase)
    expected = (BATCH, *phase.images.images_NCHW.shape[1:])
    assert tuple(mixed.images_NCHW.shape) == expected, f"{where} makes {tuple(mixed.images_NCHW.shape)} of {expected}"
    assert mixed.images_NCHW.is_floating_point(), f"{where} makes images of dtype {mixed.images_NCHW.dtype}"
    assert mixed.labels_N.shape == (BATCH,), f"{where} makes labels of shape {tuple(mixed.labels_N.shape)}"
    paired = (mixed.second_labels_N is None) == (mixed.first_weight_N is None)
    assert paired, f"{where} gives only one of second_labels_N and first_weight_N"
    if mixed.first_weight_N is not None:
        weight_N = mixed.first_weight_N
        assert weight_N.shape == (BATCH,), f"{where} gives weights of shape {tuple(weight_N.shape)}"
        assert bool(((weight_N >= 0) & (weight_N <= 1)).all()), f"{where} gives weights outside 0..1"


def _labels(phase: Phase) -> torch.Tensor:
    """Return the labels that occur in the phase, over and over; a loss never sees another."""
    return torch.tensor(np.resize(np.unique(phase.images.labels_N), BATCH))


def _random(*shape: int) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))
