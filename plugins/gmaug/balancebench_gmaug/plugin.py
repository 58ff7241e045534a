"""Declares what this plugin brings; what it does is imported only where it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import Advisor, BalancerComponent, Classifier, Component, Dataset, MetricComponent, hookimpl
from balancebench_gmaug.diffusion_components import DIFFUSION_MODELS
from balancebench_gmaug.finetune_component import FINETUNE
from balancebench_gmaug.photograph_components import PHOTOGRAPHS
from balancebench_gmaug.selection_components import SELECTION_BALANCERS, SIMILARITY_METRICS
from balancebench_gmaug.transitional_cgan_component import TRANSITIONAL_CGAN

__all__ = [
    "balancebench_advisors",
    "balancebench_balancers",
    "balancebench_classifiers",
    "balancebench_datasets",
    "balancebench_metrics",
]


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare the generators, and the selection among what they make."""
    return [*DIFFUSION_MODELS, TRANSITIONAL_CGAN, *SELECTION_BALANCERS]


@hookimpl
def balancebench_metrics() -> Sequence[MetricComponent[Any]]:
    """Declare how alike a subset's images are."""
    return SIMILARITY_METRICS


@hookimpl
def balancebench_advisors() -> Sequence[Advisor]:
    """Declare what is known of generated images on data as alike as these."""
    return [
        Advisor(
            name="similarity",
            build="balancebench_gmaug.similarity_advice:advise_on_similarity",
            relation="balancebench_gmaug.curve:RELATION",
        )
    ]


@hookimpl
def balancebench_classifiers() -> Sequence[Component[Any, Classifier]]:
    """Declare the fine-tuning of pre-trained models."""
    return [FINETUNE]


@hookimpl
def balancebench_datasets() -> Sequence[Component[Any, Dataset]]:
    """Declare the paper's data sets, in the layouts in which they are published."""
    return PHOTOGRAPHS
