"""Declares the metrics of synthetic images; what they compute is imported only where they are built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from balancebench import MetricComponent, hookimpl
from balancebench_quality.options import (
    AuthenticityOptions,
    CopyOptions,
    DataCopyingOptions,
    DistanceOptions,
    FrechetOptions,
    KynkaanniemiOptions,
    LikelihoodOptions,
    NaeemOptions,
    PairOptions,
    needs_classifier,
    ready,
)

__all__ = ["METRICS", "balancebench_metrics"]

SMOKE = {"images": 60}
declare: Callable[..., MetricComponent[Any]] = partial(
    MetricComponent, of="images", needs_extractor=needs_classifier, ready=ready, smoke=SMOKE, revision=2
)

HEUSEL = (
    "Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, NeurIPS 2017"
)
KYNKAANNIEMI = "Kynkaanniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019"
NAEEM = "Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020"

METRICS: Sequence[MetricComponent[Any]] = (
    declare(
        name="fid",
        summary="Frechet distance between features of real and synthetic images.",
        options=FrechetOptions,
        build="balancebench_quality.frechet_metric:Fid",
        citation=HEUSEL,
        higher_is_better=False,
    ),
    declare(
        name="kid",
        summary="Kernel distance between features of real and synthetic images, unbiased for few of them.",
        options=PairOptions,
        build="balancebench_quality.kernel:Kid",
        citation="Binkowski et al., Demystifying MMD GANs, ICLR 2018",
        higher_is_better=False,
    ),
    declare(
        name="generative_precision",
        summary="Share of synthetic images that lie where real ones are.",
        options=KynkaanniemiOptions,
        build="balancebench_quality.manifold:GenerativePrecision",
        citation=KYNKAANNIEMI,
        unit="%",
    ),
    declare(
        name="generative_recall",
        summary="Share of real images that lie where synthetic ones are.",
        options=KynkaanniemiOptions,
        build="balancebench_quality.manifold:GenerativeRecall",
        citation=KYNKAANNIEMI,
        unit="%",
    ),
    declare(
        name="density",
        summary="How densely real images lie around synthetic ones, about 1 for real images.",
        options=NaeemOptions,
        build="balancebench_quality.manifold:Density",
        citation=NAEEM,
    ),
    declare(
        name="coverage",
        summary="Share of real images with a synthetic one among their neighbours.",
        options=NaeemOptions,
        build="balancebench_quality.manifold:Coverage",
        citation=NAEEM,
        unit="%",
    ),
    declare(
        name="nearest_neighbour_distance",
        summary="Mean distance of synthetic images to the nearest training or test image.",
        options=DistanceOptions,
        build="balancebench_quality.copies:NearestNeighbourDistance",
        higher_is_better=None,
    ),
    declare(
        name="memorisation",
        summary="Share of synthetic images nearer to a training image than to a test image: a half without copying.",
        options=CopyOptions,
        build="balancebench_quality.copies:Memorisation",
        citation="after Meehan et al., A Non-Parametric Test to Detect Data-Copying in Generative Models, AISTATS 2020",
        higher_is_better=None,  # a half is right: less is chance, or images that are all alike, and no merit
        unit="%",
    ),
    declare(
        name="authpct",
        summary="Share of synthetic images that are no nearer to a training image than its own neighbour: no copies.",
        options=AuthenticityOptions,
        build="balancebench_quality.authenticity:Authpct",
        citation="Alaa et al., How Faithful is your Synthetic Data?, ICML 2022",
        higher_is_better=None,  # what is right is the share of test images
        unit="%",
        revision=1,
    ),
    declare(
        name="data_copying",
        summary="How much nearer to training images synthetic ones lie than test ones: C_T, far below 0 is copying.",
        options=DataCopyingOptions,
        build="balancebench_quality.data_copying:DataCopying",
        citation="Meehan et al., A Non-Parametric Test to Detect Data-Copying in Generative Models, AISTATS 2020",
        higher_is_better=None,  # 0 is right
        revision=1,
    ),
    declare(
        name="fld",
        summary="How unlikely test images are under a density around synthetic ones: high for bad images and copies.",
        options=LikelihoodOptions,
        build="balancebench_quality.feature_likelihood:Fld",
        citation="Jiralerspong et al., Feature Likelihood Divergence, NeurIPS 2023",
        higher_is_better=False,
        revision=1,
    ),
)


@hookimpl
def balancebench_metrics() -> Sequence[MetricComponent[Any]]:
    """Declare the metrics of synthetic images."""
    return METRICS
