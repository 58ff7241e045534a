"""Declares what this plugin brings; what it does is imported only where it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import BalancerComponent, Classifier, Component, hookimpl
from balancebench_cgan.options import FashionCNNOptions, MlpCganOptions

__all__ = ["balancebench_balancers", "balancebench_classifiers"]

PAPER = "Mankikar, Patel, Zhang, Re-Balancing of Long-Tailed Datasets Using CGAN Generation"


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare the conditional GAN."""
    return [
        BalancerComponent(
            name="mlp_cgan",
            summary="Fill the smaller classes with images of a conditional GAN trained on the oversampled set.",
            options=MlpCganOptions,
            build="balancebench_cgan.mlp_cgan:MlpCgan",
            citation=PAPER,
            smoke={"generator": "small_mlp_leaky", "epochs": 1, "batch_size": 16},
            synthesises=True,
            fewest_images=lambda _options: 1,
            trains_generator=True,
            revision=2,
        )
    ]


@hookimpl
def balancebench_classifiers() -> Sequence[Component[Any, Classifier]]:
    """Declare the paper's convolutional network."""
    return [
        Component(
            name="fashion_cnn",
            summary="The four-convolution network of the CGAN re-balancing paper, for images from 4x4 up.",
            options=FashionCNNOptions,
            build="balancebench_cgan.fashion_cnn:fashion_cnn",
            citation=PAPER,
            smoke={"epochs": 1, "batch_size": 16},
        )
    ]
