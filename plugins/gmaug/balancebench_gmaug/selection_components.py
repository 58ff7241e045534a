"""The balancers that choose among, or stand beside, what a generator makes, as they are declared. Light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import BalancerComponent
from balancebench_gmaug.selection_options import GmAugOptions

__all__ = ["PAPER", "SELECTION_BALANCERS"]

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
)
