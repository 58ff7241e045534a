"""The balancers around a generator, and the metrics of whether one may help, as they are declared. Light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import BalancerComponent, MetricComponent
from balancebench_gmaug.selection_options import CasOptions, EqualExposureOptions, GmAugOptions
from balancebench_gmaug.ssim_options import SsimOptions

__all__ = ["PAPER", "SELECTION_BALANCERS", "SIMILARITY_METRICS"]

PAPER = (
    "Guo et al., Structural Similarity: When to Use Deep Generative Models on Imbalanced Image Dataset Augmentation, "
    "2023"
)

SELECTION_BALANCERS: Sequence[BalancerComponent[Any]] = (
    BalancerComponent(
        name="gm_aug",
        summary="Add those of another balancer's images that the classifier takes for their class (GM-augCls).",
        options=GmAugOptions,
        build="balancebench_gmaug.gm_aug:GmAug",
        citation=PAPER,
        requires=frozenset({"classifier"}),
        smoke={"base": {"use": "smote", "target": 60, "neighbours": 1}, "rounds": 1, "target": 45},
        synthesises=True,
        draws_from_base=True,
    ),
    BalancerComponent(
        name="cas",
        summary="Train on another balancer's images alone, and on no real one.",
        options=CasOptions,
        build="balancebench_gmaug.cas:Cas",
        citation="Ravuri, Vinyals, Classification Accuracy Score for Conditional Generative Models, NeurIPS 2019",
        smoke={"base": {"use": "smote", "target": 60, "neighbours": 1}, "images": 5},
        synthesises=True,
        draws_from_base=True,
    ),
    BalancerComponent(
        name="equal_exposure",
        summary="Repeat real images as often as another balancer adds images: the control of what it adds.",
        options=EqualExposureOptions,
        build="balancebench_gmaug.equal_exposure:EqualExposure",
        smoke={"base": {"use": "smote", "neighbours": 1}},
    ),
)

SIMILARITY_METRICS: Sequence[MetricComponent[Any]] = (
    MetricComponent(
        name="ssim_merge_classes",
        summary="Mean structural similarity of random pairs of training images; low: generated images may help.",
        options=SsimOptions,
        build="balancebench_gmaug.similarity:SsimMergeClasses",
        citation=PAPER,
        of="subset",
        higher_is_better=None,
        smoke={"size": 16, "most_pairs": 40},
    ),
    MetricComponent(
        name="ssim_super_sub_classes",
        summary="The largest mean structural similarity of pairs within a super-class (class, where there are none).",
        options=SsimOptions,
        build="balancebench_gmaug.similarity:SsimSuperSubClasses",
        citation=PAPER,
        of="subset",
        higher_is_better=None,
        smoke={"size": 16, "most_pairs": 40},
    ),
)
