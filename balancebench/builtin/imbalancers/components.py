"""Declares the imbalancers: none, long_tail, step, geometric, drop_class and counts."""

from __future__ import annotations

from typing import Any

from balancebench.builtin.imbalancers.options import (
    CountsOptions,
    DropClassOptions,
    GeometricOptions,
    KeepAllOptions,
    LongTailOptions,
    StepOptions,
)
from balancebench.component import Component
from balancebench.contracts import Imbalancer

__all__ = ["IMBALANCERS"]

IMBALANCERS: tuple[Component[Any, Imbalancer], ...] = (
    Component(
        name="none",
        seeded=False,
        summary="Keep every training image: the balanced ceiling, or an imbalance that is natural.",
        options=KeepAllOptions,
        build="balancebench.builtin.imbalancers.draw:Everything",
    ),
    Component(
        name="long_tail",
        summary="Exponential long tail: class sizes fall from n_max to n_max / imbalance_ratio.",
        options=LongTailOptions,
        build="balancebench.builtin.imbalancers.kept_counts:LongTail",
        citation="Cui et al., Class-Balanced Loss Based on Effective Number of Samples, CVPR 2019",
        smoke={"imbalance_ratio": 4},
    ),
    Component(
        name="step",
        summary="Step: the first half of the classes keeps n_max images, the other half n_max / imbalance_ratio.",
        options=StepOptions,
        build="balancebench.builtin.imbalancers.kept_counts:Step",
        citation="Buda et al., A systematic study of the class imbalance problem in convolutional neural networks, "
        "Neural Networks 2018",
        smoke={"imbalance_ratio": 4},
    ),
    Component(
        name="geometric",
        summary="Geometric: each class keeps `ratio` times the images of the class before it, rounded up.",
        options=GeometricOptions,
        build="balancebench.builtin.imbalancers.kept_counts:Geometric",
        citation="Mankikar, Patel, Zhang, Re-Balancing of Long-Tailed Datasets Using CGAN Generation",
    ),
    Component(
        name="drop_class",
        summary="One class loses a share of its images, the others keep all.",
        options=DropClassOptions,
        build="balancebench.builtin.imbalancers.kept_counts:DropClass",
        citation="Asthana, Wagle, Singh, Image Generation Analysis for Imbalanced Datasets",
        smoke={"dropped_class": 0, "fraction": 0.5},
    ),
    Component(
        name="counts",
        summary="The images each class keeps, as numbers.",
        options=CountsOptions,
        build="balancebench.builtin.imbalancers.kept_counts:ExplicitCounts",
        smoke={"counts": 1},
    ),
)
