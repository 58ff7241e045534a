"""The options of the four balancers. Light."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from balancebench import Options
from balancebench.synthesis.target import Target, UndersamplingTarget

__all__ = ["AdasynOptions", "RandomOversamplingOptions", "RandomUndersamplingOptions", "SmoteOptions"]


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
    neighbours: int = Field(
        default=5, ge=1, description="nearest images of its own class that a new image is drawn towards one of"
    )


class AdasynOptions(Options):
    """The options of `adasyn`."""

    target: Target = "largest"
    neighbours: int = Field(
        default=5,
        ge=1,
        description="nearest images looked at: of any class to find the hard images, of its own class to draw towards",
    )
