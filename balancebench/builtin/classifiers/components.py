"""Declares the classifiers: small_cnn, resnet_cifar, resnet18_cifar, torchvision_model and timm_model."""

from __future__ import annotations

from typing import Any

from balancebench.builtin.classifiers.options import (
    ResNet18CifarOptions,
    ResNetCifarOptions,
    SmallCNNOptions,
    TimmModelOptions,
    TorchvisionModelOptions,
)
from balancebench.component import Component
from balancebench.contracts import Classifier

__all__ = ["CLASSIFIERS"]


def _torchvision_weights(options: TorchvisionModelOptions) -> str | None:
    return None if options.weights is None else f"torchvision weights {options.weights} of {options.name}"


def _timm_weights(options: TimmModelOptions) -> str | None:
    return f"timm's pre-trained weights of {options.name}" if options.pretrained else None


def _timm_weights_ready(options: TimmModelOptions) -> None:
    if options.pretrained:
        from balancebench.builtin.classifiers.model_zoos import timm_weights_file

        timm_weights_file(options.name)


CLASSIFIERS: tuple[Component[Any, Classifier], ...] = (
    Component(
        name="small_cnn",
        summary="a small convolutional network, quick on a processor, for images from 8x8 up",
        options=SmallCNNOptions,
        build="balancebench.builtin.classifiers.small_cnn:small_cnn",
        smoke={"width": 4, "epochs": 1},
    ),
    Component(
        name="resnet_cifar",
        summary="ResNet-20/32/44/56 for CIFAR, the network of the long-tailed CIFAR benchmarks",
        options=ResNetCifarOptions,
        build="balancebench.builtin.classifiers.resnets:resnet_cifar",
        citation="He et al. 2016, Deep Residual Learning for Image Recognition, section 4.2",
        smoke={"depth": 20, "epochs": 1},
    ),
    Component(
        name="resnet18_cifar",
        summary="ResNet-18 with a 3x3 stem and no pooling in front, for images of about 32x32",
        options=ResNet18CifarOptions,
        build="balancebench.builtin.classifiers.resnets:resnet18_cifar",
        citation="He et al. 2016, Deep Residual Learning for Image Recognition",
        smoke={"width": 4, "epochs": 1},
    ),
    Component(
        name="torchvision_model",
        summary="any classification model of torchvision, by name",
        options=TorchvisionModelOptions,
        build="balancebench.builtin.classifiers.model_zoos:torchvision_model",
        smoke={"name": "mobilenet_v3_small", "epochs": 1},
        outside_data=_torchvision_weights,
        check="balancebench.builtin.classifiers.model_zoos:check_torchvision_model",
    ),
    Component(
        name="timm_model",
        summary="any model of timm, by name",
        options=TimmModelOptions,
        build="balancebench.builtin.classifiers.model_zoos:timm_model",
        citation="Wightman 2019, PyTorch Image Models",
        smoke={"name": "resnet10t", "epochs": 1},
        outside_data=_timm_weights,
        check="balancebench.builtin.classifiers.model_zoos:check_timm_model",
        ready=_timm_weights_ready,
    ),
)
