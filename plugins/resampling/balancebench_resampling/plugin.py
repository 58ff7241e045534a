"""Declares the balancers of this plugin; what they do is imported only where they are built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import BalancerComponent, hookimpl
from balancebench_resampling.options import (
    AdasynOptions,
    RandomOversamplingOptions,
    RandomUndersamplingOptions,
    SmoteOptions,
)

__all__ = ["balancebench_balancers"]


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare random over- and undersampling, SMOTE and ADASYN."""
    return [
        BalancerComponent(
            name="random_oversampling",
            summary="Repeat images of the smaller classes until every class has as many as the largest.",
            options=RandomOversamplingOptions,
            build="balancebench_resampling.random_oversampling:RandomOversampling",
            citation="Japkowicz, Stephen, The class imbalance problem: A systematic study, Intelligent Data Analysis "
            "2002",
            fewest_images=lambda _options: 1,
        ),
        BalancerComponent(
            name="random_undersampling",
            summary="Leave out images of the larger classes until every class has as few as the smallest.",
            options=RandomUndersamplingOptions,
            build="balancebench_resampling.random_undersampling:RandomUndersampling",
            citation="Lauron, Pabico, Improved Sampling Techniques for Learning an Imbalanced Data Set, 2016, "
            "arXiv:1601.04756",
        ),
        BalancerComponent(
            name="smote",
            summary="Draw new images on the lines between an image and its nearest neighbours of the same class.",
            options=SmoteOptions,
            build="balancebench_resampling.smote:Smote",
            citation="Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique, JAIR 2002",
            smoke={"neighbours": 1},
            synthesises=True,
            fewest_images=lambda options: options.neighbours + 1,
        ),
        BalancerComponent(
            name="adasyn",
            summary="As SMOTE, with more new images where other classes are near.",
            options=AdasynOptions,
            build="balancebench_resampling.adasyn:Adasyn",
            citation="He et al., ADASYN: Adaptive Synthetic Sampling Approach for Imbalanced Learning, IJCNN 2008",
            smoke={"neighbours": 1},
            synthesises=True,
            fewest_images=lambda options: options.neighbours + 1,
        ),
    ]
