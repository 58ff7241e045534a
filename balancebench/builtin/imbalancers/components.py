"""Declares the imbalancers: none, long_tail, step, geometric, drop_class and counts."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from balancebench.component import Component, Imbalancer
from balancebench.config import Options

__all__ = [
    "IMBALANCERS",
    "CountsOptions",
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


def build_none(_options: KeepAllOptions) -> Imbalancer:
    """Build `none`."""
    from balancebench.builtin.imbalancers.subset import Everything

    return Everything()


def build_long_tail(options: LongTailOptions) -> Imbalancer:
    """Build `long_tail`."""
    from balancebench.builtin.imbalancers.kept_counts import long_tail
    from balancebench.builtin.imbalancers.subset import Subset

    return Subset(kept_counts=partial(long_tail, options), draw=options.draw)


def build_step(options: StepOptions) -> Imbalancer:
    """Build `step`."""
    from balancebench.builtin.imbalancers.kept_counts import step
    from balancebench.builtin.imbalancers.subset import Subset

    return Subset(kept_counts=partial(step, options), draw=options.draw)


def build_geometric(options: GeometricOptions) -> Imbalancer:
    """Build `geometric`."""
    from balancebench.builtin.imbalancers.kept_counts import geometric
    from balancebench.builtin.imbalancers.subset import Subset

    return Subset(kept_counts=partial(geometric, options), draw=options.draw)


def build_drop_class(options: DropClassOptions) -> Imbalancer:
    """Build `drop_class`."""
    from balancebench.builtin.imbalancers.kept_counts import drop_class
    from balancebench.builtin.imbalancers.subset import Subset

    return Subset(kept_counts=partial(drop_class, options), draw=options.draw)


def build_counts(options: CountsOptions) -> Imbalancer:
    """Build `counts`."""
    from balancebench.builtin.imbalancers.kept_counts import explicit_counts
    from balancebench.builtin.imbalancers.subset import Subset

    return Subset(kept_counts=partial(explicit_counts, options), draw=options.draw)


IMBALANCERS: tuple[Component[Imbalancer], ...] = (
    Component(
        name="none",
        seeded=False,
        summary="Keep every training image: the balanced ceiling, or an imbalance that is natural.",
        options=KeepAllOptions,
        build=build_none,
    ),
    Component(
        name="long_tail",
        summary="Exponential long tail: class sizes fall from n_max to n_max / imbalance_ratio.",
        options=LongTailOptions,
        build=build_long_tail,
        citation="Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019",
        smoke={"imbalance_ratio": 4},
    ),
    Component(
        name="step",
        summary="Step: the first half of the classes keeps n_max images, the other half n_max / imbalance_ratio.",
        options=StepOptions,
        build=build_step,
        citation="Buda et al., A systematic study of the class imbalance problem in convolutional neural networks, "
        "Neural Networks 2018",
        smoke={"imbalance_ratio": 4},
    ),
    Component(
        name="geometric",
        summary="Geometric: each class keeps `ratio` times the images of the class before it, rounded up.",
        options=GeometricOptions,
        build=build_geometric,
        citation="Mankikar, Patel, Zhang, Re-Balancing of Long-Tailed Datasets Using CGAN Generation",
    ),
    Component(
        name="drop_class",
        summary="One class loses a share of its images, the others keep all.",
        options=DropClassOptions,
        build=build_drop_class,
        citation="Asthana, Wagle, Singh, Image Generation Analysis for Imbalanced Datasets",
        smoke={"dropped_class": 0, "fraction": 0.5},
    ),
    Component(
        name="counts",
        summary="The images each class keeps, as numbers.",
        options=CountsOptions,
        build=build_counts,
        smoke={"counts": 1},
    ),
)
