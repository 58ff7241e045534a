"""Declares the balancers of this plugin; what they do is imported only where they are built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from balancebench import Balancer, BalancerComponent, Options, hookimpl
from balancebench.synthesis.target import OversamplingTarget, UndersamplingTarget

__all__ = ["balancebench_balancers"]

Target = Annotated[
    OversamplingTarget,
    Field(
        description="images each class gets: as many as the largest class, a number, or a table class name -> number; "
        "classes that have more keep them"
    ),
]
Neighbours = Annotated[
    int, Field(ge=1, description="nearest images of its own class that a new image is drawn towards one of")
]


class RandomOversamplingOptions(Options):
    """The options of `random_oversampling`."""

    target: Target = "largest"
    variant: Literal["with_replacement", "cycle"] = Field(
        default="with_replacement",
        description="with_replacement: repeat images drawn at random; cycle: repeat them in order, round and round",
    )


class RandomUndersamplingOptions(Options):
    """The options of `random_undersampling`."""

    target: UndersamplingTarget = Field(
        default="smallest",
        description="images each class keeps: as many as the smallest class, a number, or a table class name -> "
        "number; classes that have fewer keep all",
    )


class SmoteOptions(Options):
    """The options of `smote`."""

    target: Target = "largest"
    neighbours: Neighbours = 5


class AdasynOptions(Options):
    """The options of `adasyn`."""

    target: Target = "largest"
    neighbours: int = Field(
        default=5,
        ge=1,
        description="nearest images looked at: of any class to find the hard images, of its own class to draw towards",
    )


def build_random_oversampling(options: RandomOversamplingOptions) -> Balancer:
    """Build `random_oversampling`."""
    from balancebench_resampling.random_oversampling import RandomOversampling

    return RandomOversampling(target=options.target, variant=options.variant)


def build_random_undersampling(options: RandomUndersamplingOptions) -> Balancer:
    """Build `random_undersampling`."""
    from balancebench_resampling.random_undersampling import RandomUndersampling

    return RandomUndersampling(target=options.target)


def build_smote(options: SmoteOptions) -> Balancer:
    """Build `smote`."""
    from balancebench_resampling.smote import Smote

    return Smote(target=options.target, neighbours=options.neighbours)


def build_adasyn(options: AdasynOptions) -> Balancer:
    """Build `adasyn`."""
    from balancebench_resampling.adasyn import Adasyn

    return Adasyn(target=options.target, neighbours=options.neighbours)


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Balancer]]:
    """Declare random over- and undersampling, SMOTE and ADASYN."""
    return [
        BalancerComponent(
            name="random_oversampling",
            summary="Repeat images of the smaller classes until every class has as many as the largest.",
            options=RandomOversamplingOptions,
            build=build_random_oversampling,
            citation="Japkowicz, Stephen, The class imbalance problem: A systematic study, Intelligent Data Analysis "
            "2002",
        ),
        BalancerComponent(
            name="random_undersampling",
            summary="Leave out images of the larger classes until every class has as few as the smallest.",
            options=RandomUndersamplingOptions,
            build=build_random_undersampling,
            citation="Lauron, Pabico, Improved Sampling Techniques for Learning an Imbalanced Data Set, 2016, "
            "arXiv:1601.04756",
        ),
        BalancerComponent(
            name="smote",
            summary="Draw new images on the lines between an image and its nearest neighbours of the same class.",
            options=SmoteOptions,
            build=build_smote,
            citation="Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique, JAIR 2002",
            smoke={"neighbours": 1},
            synthesises=True,
        ),
        BalancerComponent(
            name="adasyn",
            summary="As SMOTE, with more new images where other classes are near.",
            options=AdasynOptions,
            build=build_adasyn,
            citation="He et al., ADASYN: Adaptive Synthetic Sampling Approach for Imbalanced Learning, IJCNN 2008",
            smoke={"neighbours": 1},
            synthesises=True,
        ),
    ]
