"""The networks that the loop trains: any backbone that turns images into features, and one head over the features.

Axis suffixes: N images, C channels, H rows, W columns, D features, K classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from balancebench.errors import ClassifierError

__all__ = [
    "BackboneBuilder",
    "Head",
    "HeadBeginning",
    "ImageModel",
    "PointwiseConv2d",
    "adjusted_head",
    "build_model",
    "memory_format_for",
]

BackboneBuilder = Callable[[int, tuple[int, int]], nn.Module]
"""build(channels, (rows, columns)) -> a module that maps images_NCHW float32 to features_ND.

It is called under a seeded global generator, so that plain torch initialisation is reproducible.
"""

HeadBeginning = Literal["uniform", "kaiming", "xavier"]


class Head(nn.Module):
    """The last layer: features_ND -> logits_NK.

    linear: features @ weight.T + bias. cosine: the cosine between features and each row of weight, in -1..1, without
    bias and without scale (Cao et al. 2019, LDAM, section 3.1: scaling belongs to the loss); always in float32.
    begins: how a linear head's weights are drawn. uniform: as torch's linear layers; kaiming: normal, variance 2 / D
    (He et al. 2015, "Delving Deep into Rectifiers", eq. 10), as LDAM-DRW's code has it; xavier: uniform, variance
    2 / (D + K), and no bias at first (Glorot and Bengio 2010, eq. 16).
    """

    def __init__(
        self,
        feature_count: int,
        class_count: int,
        kind: Literal["linear", "cosine"] = "linear",
        *,
        begins: HeadBeginning = "uniform",
    ) -> None:
        super().__init__()
        self.kind: Literal["linear", "cosine"] = kind
        self.begins: HeadBeginning = begins
        self.weight = nn.Parameter(torch.empty(class_count, feature_count))
        self.bias = nn.Parameter(torch.empty(class_count)) if kind == "linear" else None
        self.reset()

    @torch.no_grad()
    def reset(self, generator: Generator | None = None) -> None:
        """Draw new weights, as `begins` says, and a bias uniform in +-1/sqrt(D), or 0 for xavier.

        A cosine head's rows are drawn uniformly and get length 1.
        """
        bound = 1.0 / math.sqrt(self.weight.shape[1])
        if self.begins == "kaiming" and self.kind == "linear":
            self.weight.normal_(0.0, math.sqrt(2.0) * bound, generator=generator)
        elif self.begins == "xavier" and self.kind == "linear":
            glorot = math.sqrt(6.0 / sum(self.weight.shape))
            self.weight.uniform_(-glorot, glorot, generator=generator)
        else:
            self.weight.uniform_(-bound, bound, generator=generator)
        if self.bias is None:
            self.weight.copy_(F.normalize(self.weight, dim=1))
        elif self.begins == "xavier":
            self.bias.zero_()
        else:
            self.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, features_ND: Tensor) -> Tensor:
        """Return logits_NK."""
        if self.kind == "linear":
            return F.linear(features_ND, self.weight, self.bias)
        with torch.autocast(features_ND.device.type, enabled=False):
            return F.linear(F.normalize(features_ND.float(), dim=1), F.normalize(self.weight, dim=1))


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution of every `step`-th row and column: nn.Conv2d(channels_in, channels_out, 1, stride=step).

    The same numbers from the same weights, but processors may train it in channels-last order (see memory_format_for).
    """

    def __init__(self, channels_in: int, channels_out: int, step: int, *, bias: bool) -> None:
        super().__init__(channels_in, channels_out, 1, bias=bias)
        self.step = step

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return maps of ceil(rows / step) x ceil(columns / step)."""
        return super().forward(input[:, :, :: self.step, :: self.step])


class ImageModel(nn.Module):
    """A backbone and a head over it."""

    def __init__(self, backbone: nn.Module, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def features(self, images_NCHW: Tensor) -> Tensor:
        """Return features_ND of normalised images."""
        return self.backbone(images_NCHW)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return logits_NK of normalised images."""
        return self.head(self.features(images_NCHW))


def build_model(
    build_backbone: BackboneBuilder,
    *,
    channels: int,
    image_size: tuple[int, int],
    class_count: int,
    head: Literal["linear", "cosine"],
    head_begins: HeadBeginning = "uniform",
) -> ImageModel:
    """Return a new model on the CPU; one image is sent through the backbone to learn how many features it gives.

    Raises ClassifierError where the network cannot take images of this shape.
    """
    backbone = build_backbone(channels, image_size)
    shape = f"{channels}x{image_size[0]}x{image_size[1]}"
    was_training = backbone.training
    try:
        with torch.no_grad():
            features = backbone.eval()(torch.zeros(1, channels, *image_size))
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ClassifierError(
            f"the network cannot take images of {shape} (channels x rows x columns): {reason[0]}"
        ) from error
    backbone.train(was_training)
    if not isinstance(features, Tensor) or features.ndim != 2 or features.shape[1] == 0:
        shape_or_type = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ClassifierError(f"the backbone must turn {shape} images into features (N, D), but gave {shape_or_type}")
    return ImageModel(backbone, Head(features.shape[1], class_count, head, begins=head_begins))


@torch.no_grad()
def adjusted_head(head: Head, adjust: Callable[[Tensor], Tensor]) -> Head:
    """Return a copy of `head` with weight_KD replaced by adjust(weight_KD) and the bias set to 0.

    A cosine head's rows are normalised again: there, only their directions count.
    Raises ClassifierError where the adjusted weight has another shape.
    """
    adjusted = copy.deepcopy(head)
    weight_KD = adjust(head.weight.detach().clone())
    if weight_KD.shape != head.weight.shape:
        raise ClassifierError(
            f"adjust_head must keep the weight's shape {tuple(head.weight.shape)}, but gave {tuple(weight_KD.shape)}"
        )
    adjusted.weight.copy_(weight_KD)
    if adjusted.bias is not None:
        adjusted.bias.zero_()
    return adjusted


def memory_format_for(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Return the order of channels to train in: channels last, the faster one on GPUs and on processors.

    But not for strided 1x1 convolutions on processors: their backward pass in channels-last order writes past its
    memory with several threads (seen in torch 2.15: 4 to 8 channels, 21 images of 16x16, two threads). PointwiseConv2d
    does without them.
    """
    if device.type != "cpu":
        return torch.channels_last
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    strided = any(set(module.kernel_size) == {1} and max(module.stride) > 1 for module in convolutions)
    return torch.contiguous_format if strided else torch.channels_last
