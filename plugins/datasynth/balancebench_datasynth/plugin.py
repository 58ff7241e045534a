"""Declares what this plugin brings; what it does is imported only where it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import BalancerComponent, Classifier, Component, hookimpl
from balancebench_datasynth.options import (
    FruitCnnOptions,
    MarginsOptions,
    MixOptions,
    PretrainSyntheticOptions,
    SyntheticOnlyOptions,
)

__all__ = ["balancebench_balancers", "balancebench_classifiers"]

SLIDES = (
    "CS 539 Group 9, Effectiveness of Data Synthesized by Generative AI in Supervised Image Classification, slides, "
    "Worcester Polytechnic Institute"
)
SMOKE_BASE = {"use": "smote", "target": 80, "neighbours": 1}


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare the ways of using synthetic images beside real ones or in their place."""
    return [
        BalancerComponent(
            name="mix",
            summary="Real and synthetic images at any share, at a given total.",
            options=MixOptions,
            build="balancebench_datasynth.mix:Mix",
            citation=SLIDES,
            smoke={"base": SMOKE_BASE, "synthetic_share": 0.25},
        ),
        BalancerComponent(
            name="synthetic_only",
            summary="Train on another balancer's images alone.",
            options=SyntheticOnlyOptions,
            build="balancebench_datasynth.synthetic_only:SyntheticOnly",
            citation=SLIDES,
            smoke={"base": SMOKE_BASE},
        ),
        BalancerComponent(
            name="pretrain_synthetic",
            summary="Train on another balancer's images first, then on the real ones.",
            options=PretrainSyntheticOptions,
            build="balancebench_datasynth.pretrain_synthetic:PretrainSynthetic",
            citation=SLIDES,
            smoke={"base": SMOKE_BASE},
        ),
        BalancerComponent(
            name="margins",
            summary="Another balancer's images with random margins, grey-scale and noise, as photographs have them.",
            options=MarginsOptions,
            build="balancebench_datasynth.margins:Margins",
            citation=SLIDES,
            smoke={"base": SMOKE_BASE},
            synthesises=True,
        ),
    ]


@hookimpl
def balancebench_classifiers() -> Sequence[Component[Any, Classifier]]:
    """Declare the slides' network."""
    return [
        Component(
            name="fruit_cnn",
            summary="The slides' two convolutions and a hidden layer of 128, for 64x64 images.",
            options=FruitCnnOptions,
            build="balancebench_datasynth.fruit_cnn:fruit_cnn",
            citation=SLIDES,
            smoke={"epochs": 1},
        )
    ]
