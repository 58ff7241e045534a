"""One optimiser step: the losses of a batch, the optimisers, and the learning rate.

Nothing here waits for the device.
Axis suffixes: N images of a batch, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from balancebench.errors import BalancerError
from balancebench.training.model import ImageModel
from balancebench.training.options import TrainingOptions
from balancebench.training_plan import Batch, FeatureLoss, Loss, LossContext

__all__ = [
    "FeaturesRead",
    "Network",
    "ParameterGroup",
    "TrainingStep",
    "batch_losses",
    "cross_entropy",
    "forget",
    "make_optimiser",
    "set_learning_rate",
]

Network = Callable[[Tensor], Tensor]
"""Normalised images_NCHW -> logits_NK."""


def cross_entropy(logits_NK: Tensor, labels_N: Tensor) -> Tensor:
    """Return the cross-entropy of each image, losses_N: the loss of a phase that names none."""
    return F.cross_entropy(logits_NK, labels_N, reduction="none")


def batch_losses(loss: Loss, logits_NK: Tensor, batch: Batch) -> Tensor:
    """Return losses_N of a batch; where images are mixed, those of both labels weighted.

    Raises BalancerError where the loss gives anything but one value for each image, or where a batch names second
    labels without weights or weights without second labels.
    """
    first_losses_N = _one_each(loss(logits_NK, batch.labels_N), batch.labels_N)
    if batch.second_labels_N is None and batch.first_weight_N is None:
        return first_losses_N
    if batch.second_labels_N is None or batch.first_weight_N is None:
        raise BalancerError("a mixed batch needs both second_labels_N and first_weight_N")
    second_losses_N = _one_each(loss(logits_NK, batch.second_labels_N), batch.labels_N)
    return batch.first_weight_N * first_losses_N + (1.0 - batch.first_weight_N) * second_losses_N


def _one_each(losses_N: Tensor, labels_N: Tensor) -> Tensor:
    if losses_N.shape != labels_N.shape:
        raise BalancerError(
            f"a loss must return one value for each image, shape {tuple(labels_N.shape)}, got {tuple(losses_N.shape)}"
        )
    return losses_N


class ParameterGroup(TypedDict):
    """Parameters that are trained with a weight decay and a multiple of the learning rate of their own."""

    params: list[Tensor]
    weight_decay: float
    learning_rate_scale: float


def make_optimiser(
    parameters: Iterable[Tensor] | Iterable[ParameterGroup], options: TrainingOptions, device: torch.device
) -> Optimizer:
    """Return a new optimiser; its steps leave parameters without a gradient alone, weight decay included.

    Fused kernels take a third of the others' time, on processors too; mps has them for some optimisers only.
    """
    fused = device.type != "mps"
    rate, decay, betas = options.learning_rate, options.weight_decay, options.betas
    given: Any = parameters  # torch takes either, and its types want a list of plain dictionaries
    match options.optimiser:
        case "sgd":
            optimiser = torch.optim.SGD(
                given,
                lr=rate,
                momentum=options.momentum,
                nesterov=options.nesterov,
                weight_decay=decay,
                fused=fused,
            )
        case "adam":
            optimiser = torch.optim.Adam(given, lr=rate, betas=betas, weight_decay=decay, fused=fused)
        case "adamw":
            optimiser = torch.optim.AdamW(given, lr=rate, betas=betas, weight_decay=decay, fused=fused)
    forget(optimiser, [parameter for group in optimiser.param_groups for parameter in group["params"]])
    return optimiser


def forget(optimiser: Optimizer, parameters: Iterable[Tensor]) -> None:
    """Put what the optimiser remembers of these parameters back to its beginning."""
    for parameter in parameters:
        optimiser.state.pop(parameter, None)
        if isinstance(optimiser, torch.optim.SGD) and optimiser.defaults["momentum"]:
            # Zeros are where momentum begins. Left to itself, fused SGD makes them at its first step, for all
            # parameters or none, and fails where some have been frozen so far.
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def set_learning_rate(optimiser: Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every group, times the group's own scale where it has one."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group.get("learning_rate_scale", 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeaturesRead:
    """What a step needs whose loss reads features: they are taken from between backbone and head of the plain model."""

    loss: FeatureLoss
    model: ImageModel
    generator: torch.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStep:
    """Takes one step of `optimiser` on a batch.

    network: the model, or it compiled. precision: "bf16" runs the network under autocast; logits, features and losses
    are float32 in any case. output: applied to the logits before the loss, or None. reads_features: for a loss that
    does, instead of `loss` and of the compiled network.
    """

    network: Network
    optimiser: Optimizer
    loss: Loss
    precision: Literal["fp32", "bf16"]
    output: Callable[[Tensor], Tensor] | None = None
    reads_features: FeaturesRead | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Take the step; return the batch's mean loss, a scalar that stays on the device."""
        # Before the forward pass: gradients that CUDA graphs wrote are in memory that their next run takes again.
        self.optimiser.zero_grad(set_to_none=True)
        logits_NK, loss_of = self._forward(batch.images_NCHW)
        if self.output is not None:
            logits_NK = self.output(logits_NK)
        loss = batch_losses(loss_of, logits_NK, batch).mean()
        loss.backward()
        self.optimiser.step()
        return loss.detach()

    def _forward(self, images_NCHW: Tensor) -> tuple[Tensor, Loss]:
        """Return logits_NK, and the loss that they and labels go into."""
        with torch.autocast(images_NCHW.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            if self.reads_features is None:
                return self.network(images_NCHW).float(), self.loss
            features_ND = self.reads_features.model.features(images_NCHW)
            logits_NK = self.reads_features.model.head(features_ND)
        loss, context = (
            self.reads_features.loss,
            LossContext(features_ND=features_ND.float(), generator=self.reads_features.generator),
        )
        return logits_NK.float(), lambda logits_NK, labels_N: loss(logits_NK, labels_N, context)
