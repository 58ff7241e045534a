"""The options of the built-in imbalancers; imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from balancebench.config import Options

__all__ = [
    "ClassOrder",
    "CountsOptions",
    "DrawOptions",
    "DropClassOptions",
    "GeometricOptions",
    "KeepAllOptions",
    "LongTailOptions",
    "StepOptions",
]

Draw = Literal["independent", "cao2019"]
ClassOrder = Literal["id", "permuted"]
ClassId = Annotated[int, Field(ge=0, strict=True)]
ImageCount = Annotated[int, Field(ge=1, strict=True)]
ImbalanceRatio = Annotated[
    float, Field(ge=1, description="images of the largest class over images of the smallest: 100 keeps 1 in 100")
]


class KeepAllOptions(Options):
    """The options of `none`: there are none."""


class DrawOptions(Options):
    """What every imbalancer that removes images has: how the images that stay are drawn."""

    draw: Draw = Field(
        default="independent",
        description="independent: a seeded stream for each class; cao2019: the subset of the LDAM-DRW code, whatever "
        "the seed",
    )


class RankedOptions(DrawOptions):
    """What the imbalancers that go from head to tail have: which class gets which rank."""

    class_order: ClassOrder = Field(
        default="id", description="which class comes first: by class id, or a permutation drawn from the subset seed"
    )


class LongTailOptions(RankedOptions):
    """The options of `long_tail`."""

    imbalance_ratio: ImbalanceRatio = 100.0


class StepOptions(RankedOptions):
    """The options of `step`."""

    imbalance_ratio: ImbalanceRatio = 100.0


class GeometricOptions(RankedOptions):
    """The options of `geometric`."""

    ratio: float = Field(default=0.5, gt=0, le=1, description="images of a class over images of the class before it")


class DropClassOptions(DrawOptions):
    """The options of `drop_class`."""

    dropped_class: str | ClassId = Field(description="the class that loses images: its name, or its id")
    fraction: float = Field(
        default=0.99, gt=0, le=1, description="the share of its images that goes; 1 removes the class from training"
    )


class CountsOptions(DrawOptions):
    """The options of `counts`."""

    counts: ImageCount | list[ImageCount] | dict[str, ImageCount] = Field(
        description="images kept: one number for every class, a list by class id, or a table class name -> number "
        "(classes it leaves out keep all)"
    )
