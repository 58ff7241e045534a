"""The options of the built-in classifiers; imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from balancebench.training.options import (
    Augmentation,
    BatchSize,
    Epochs,
    PeakLearningRate,
    Schedule,
    TrainingOptions,
    Warmup,
    WeightDecay,
)

__all__ = [
    "ResNet18CifarOptions",
    "ResNetCifarOptions",
    "SmallCNNOptions",
    "TimmModelOptions",
    "TorchvisionModelOptions",
]

ModelName = Annotated[str, Field(min_length=1)]
ImageSize = Annotated[
    int | None,
    Field(ge=8, le=1024, description="rows and columns that images are resized to on the device; as they are if unset"),
]


class SmallCNNOptions(TrainingOptions):
    """The options of `small_cnn`."""

    width: int = Field(default=32, ge=4, le=256, description="channels of the first block; later ones have 2 and 4 x")
    epochs: Epochs = 15
    batch_size: BatchSize = 64
    weight_decay: WeightDecay = 5e-4
    warmup: Warmup = 0.1


class ResNetCifarOptions(TrainingOptions):
    """The options of `resnet_cifar`; the defaults are the recipe of long-tailed CIFAR (Cao et al. 2019, LDAM)."""

    depth: Literal[20, 32, 44, 56] = Field(default=32, description="layers with weights")
    epochs: Epochs = 200
    weight_decay: WeightDecay = 2e-4
    schedule: Schedule = "multi_step"
    warmup: Warmup = 0.025
    augmentation: Augmentation = "crop_flip"


class ResNet18CifarOptions(TrainingOptions):
    """The options of `resnet18_cifar`."""

    width: int = Field(default=64, ge=4, le=512, description="channels of the first stage; it doubles at each stage")
    epochs: Epochs = 200
    weight_decay: WeightDecay = 5e-4
    augmentation: Augmentation = "crop_flip"


class TorchvisionModelOptions(TrainingOptions):
    """The options of `torchvision_model`."""

    name: ModelName = Field(description="a classification model of torchvision.models, such as resnet18")
    weights: str | None = Field(
        default=None, min_length=1, description="pre-trained weights to start from, such as DEFAULT; random if unset"
    )
    image_size: ImageSize = None
    learning_rate: PeakLearningRate = 0.05
    weight_decay: WeightDecay = 5e-4
    warmup: Warmup = 0.05
    augmentation: Augmentation = "crop_flip"


class TimmModelOptions(TrainingOptions):
    """The options of `timm_model`."""

    name: ModelName = Field(description="a model of timm, such as resnet18 or vit_tiny_patch16_224")
    pretrained: bool = Field(default=False, description="start from timm's pre-trained weights instead of random ones")
    image_size: ImageSize = None
    learning_rate: PeakLearningRate = 0.05
    weight_decay: WeightDecay = 5e-4
    warmup: Warmup = 0.05
    augmentation: Augmentation = "crop_flip"
