"""Declares the classifiers: small_cnn, resnet_cifar, resnet18_cifar, torchvision_model and timm_model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from balancebench.component import Classifier, Component
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
    "CLASSIFIERS",
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


def _small_cnn(options: SmallCNNOptions) -> Classifier:
    from balancebench.builtin.classifiers.small_cnn import SmallCNN
    from balancebench.training.classifier import NetworkClassifier

    return NetworkClassifier(lambda channels, image_size: SmallCNN(channels, image_size, width=options.width), options)


def _resnet_cifar(options: ResNetCifarOptions) -> Classifier:
    from balancebench.builtin.classifiers.resnets import ResNetCifar
    from balancebench.training.classifier import NetworkClassifier

    return NetworkClassifier(lambda channels, _image_size: ResNetCifar(channels, depth=options.depth), options)


def _resnet18_cifar(options: ResNet18CifarOptions) -> Classifier:
    from balancebench.builtin.classifiers.resnets import ResNet18Cifar
    from balancebench.training.classifier import NetworkClassifier

    return NetworkClassifier(lambda channels, _image_size: ResNet18Cifar(channels, width=options.width), options)


def _torchvision_model(options: TorchvisionModelOptions) -> Classifier:
    from balancebench.builtin.classifiers.model_zoos import torchvision_backbone
    from balancebench.training.classifier import NetworkClassifier

    return NetworkClassifier(
        lambda channels, _image_size: torchvision_backbone(
            options.name, channels, weights=options.weights, image_size=options.image_size
        ),
        options,
    )


def _timm_model(options: TimmModelOptions) -> Classifier:
    from balancebench.builtin.classifiers.model_zoos import timm_backbone
    from balancebench.training.classifier import NetworkClassifier

    return NetworkClassifier(
        lambda channels, _image_size: timm_backbone(
            options.name, channels, pretrained=options.pretrained, image_size=options.image_size
        ),
        options,
    )


def _torchvision_weights(options: TorchvisionModelOptions) -> str | None:
    return None if options.weights is None else f"torchvision weights {options.weights} of {options.name}"


def _timm_weights(options: TimmModelOptions) -> str | None:
    return f"timm's pre-trained weights of {options.name}" if options.pretrained else None


CLASSIFIERS: tuple[Component[Classifier], ...] = (
    Component(
        name="small_cnn",
        summary="a small convolutional network, quick on a processor, for images from 8x8 up",
        options=SmallCNNOptions,
        build=_small_cnn,
        smoke={"width": 4, "epochs": 1},
    ),
    Component(
        name="resnet_cifar",
        summary="ResNet-20/32/44/56 for CIFAR, the network of the long-tailed CIFAR benchmarks",
        options=ResNetCifarOptions,
        build=_resnet_cifar,
        citation="He et al. 2016, Deep Residual Learning for Image Recognition, section 4.2",
        smoke={"depth": 20, "epochs": 1},
    ),
    Component(
        name="resnet18_cifar",
        summary="ResNet-18 with a 3x3 stem and no pooling in front, for images of about 32x32",
        options=ResNet18CifarOptions,
        build=_resnet18_cifar,
        citation="He et al. 2016, Deep Residual Learning for Image Recognition",
        smoke={"width": 4, "epochs": 1},
    ),
    Component(
        name="torchvision_model",
        summary="any classification model of torchvision, by name",
        options=TorchvisionModelOptions,
        build=_torchvision_model,
        smoke={"name": "mobilenet_v3_small", "epochs": 1},
        outside_data=_torchvision_weights,
    ),
    Component(
        name="timm_model",
        summary="any model of timm, by name",
        options=TimmModelOptions,
        build=_timm_model,
        citation="Wightman 2019, PyTorch Image Models",
        smoke={"name": "resnet10t", "epochs": 1},
        outside_data=_timm_weights,
    ),
)
