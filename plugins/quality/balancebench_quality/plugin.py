"""Declares the metrics of synthetic images; what they compute is imported only where they are built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from balancebench import Metric, MetricComponent, Options, hookimpl
from balancebench_quality.inception_weights import inception_weights

Extractor = Annotated[str, StringConstraints(pattern=r"^(classifier|inception|pixels|timm:.+)$")]


class QualityOptions(Options):
    """What all metrics of synthetic images have in common."""

    extractor: Extractor = Field(
        default="classifier",
        description="what images are compared by: classifier: the suite's own, trained without imbalance; inception: "
        "Inception-v3 as in FID; timm:NAME: a pre-trained model of timm; pixels",
    )
    images: int = Field(
        default=10_000, ge=2, description="at most so many images, drawn evenly from the classes; per_class: of each"
    )
    per_class: bool = Field(default=False, description="one value a class instead of one for all together")


class PairOptions(QualityOptions):
    """Options of metrics that compare synthetic images with as many real ones of the same classes."""

    reference: Literal["full_train", "kept", "test"] = Field(
        default="full_train",
        description="the real images: full_train: all training images, the withheld ones too; kept: those that the "
        "imbalancer left; test",
    )


class FrechetOptions(PairOptions):
    """Options of fid."""

    correction: Literal["none", "extrapolated"] = Field(
        default="none", description="extrapolated: FID-infinity, free of the bias of few synthetic images"
    )


class KynkaanniemiOptions(PairOptions):
    """Options of generative_precision and generative_recall."""

    k: int = Field(default=3, ge=1, le=1000, description="the neighbour that the ball around each image reaches to")


class NaeemOptions(PairOptions):
    """Options of density and coverage."""

    k: int = Field(default=5, ge=1, le=1000, description="the neighbour that the ball around each image reaches to")


class CopyOptions(QualityOptions):
    """Options of memorisation."""


class DistanceOptions(CopyOptions):
    """Options of nearest_neighbour_distance."""

    to: Literal["train", "test"] = Field(
        default="train", description="train: the training images that the generator could see; test: the test images"
    )


def build_fid(options: FrechetOptions) -> Metric:
    """Build fid."""
    from balancebench_quality.frechet import extrapolated_frechet_distance, frechet_distance
    from balancebench_quality.pairs import PairMetric

    plain = options.correction == "none"
    distance = frechet_distance if plain else extrapolated_frechet_distance

    def too_few(count: int, features: int) -> str | None:
        needed = features + 1 if plain else 2 * (features + 1)
        if count >= needed:
            return None
        return f"{features} features need {needed} images a side, or the covariance is singular; kid needs 2"

    return PairMetric(
        name="fid", options=options, compute=lambda real_ND, made_ND, _: distance(real_ND, made_ND), too_few=too_few
    )


def build_kid(options: PairOptions) -> Metric:
    """Build kid."""
    from balancebench_quality.kernel import kernel_distance
    from balancebench_quality.pairs import PairMetric

    def too_few(count: int, _features: int) -> str | None:
        return None if count >= 2 else "fewer than 2 images a side"

    return PairMetric(name="kid", options=options, compute=kernel_distance, too_few=too_few)


def build_overlap(name: str, options: KynkaanniemiOptions | NaeemOptions) -> Metric:
    """Build the metric of balancebench_quality.manifold with this name."""
    from balancebench_quality import manifold
    from balancebench_quality.pairs import PairMetric

    overlap: Callable[..., float] = getattr(manifold, name)

    def too_few(count: int, _features: int) -> str | None:
        return None if count > options.k else f"a {options.k}-th neighbour needs {options.k + 1} images a side"

    return PairMetric(
        name=name,
        options=options,
        compute=lambda real_ND, made_ND, device: overlap(real_ND, made_ND, options.k, device),
        too_few=too_few,
    )


def build_nearest_neighbour_distance(options: DistanceOptions) -> Metric:
    """Build nearest_neighbour_distance."""
    from balancebench_quality.copies import NearestNeighbourDistance

    return NearestNeighbourDistance(options)


def build_memorisation(options: CopyOptions) -> Metric:
    """Build memorisation."""
    from balancebench_quality.copies import Memorisation

    return Memorisation(options)


def needs_extractor(options: QualityOptions) -> bool:
    """Say whether the suite's own classifier is looked through."""
    return options.extractor == "classifier"


def ready(options: QualityOptions) -> None:
    """Raise DataError where Inception's weights are asked for and not there."""
    if options.extractor == "inception":
        inception_weights()


SMOKE = {"images": 60}
declare: Callable[..., MetricComponent[Metric]] = partial(
    MetricComponent, needs_extractor=needs_extractor, ready=ready, smoke=SMOKE
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
        build=build_fid,
        citation=HEUSEL,
        higher_is_better=False,
    ),
    declare(
        name="kid",
        summary="Kernel distance between features of real and synthetic images, unbiased for few of them.",
        options=PairOptions,
        build=build_kid,
        citation="Binkowski et al., Demystifying MMD GANs, ICLR 2018",
        higher_is_better=False,
    ),
    declare(
        name="generative_precision",
        summary="Share of synthetic images that lie where real ones are.",
        options=KynkaanniemiOptions,
        build=partial(build_overlap, "precision"),
        citation=KYNKAANNIEMI,
        unit="%",
    ),
    declare(
        name="generative_recall",
        summary="Share of real images that lie where synthetic ones are.",
        options=KynkaanniemiOptions,
        build=partial(build_overlap, "recall"),
        citation=KYNKAANNIEMI,
        unit="%",
    ),
    declare(
        name="density",
        summary="How densely real images lie around synthetic ones, about 1 for real images.",
        options=NaeemOptions,
        build=partial(build_overlap, "density"),
        citation=NAEEM,
    ),
    declare(
        name="coverage",
        summary="Share of real images with a synthetic one among their neighbours.",
        options=NaeemOptions,
        build=partial(build_overlap, "coverage"),
        citation=NAEEM,
        unit="%",
    ),
    declare(
        name="nearest_neighbour_distance",
        summary="Mean distance of synthetic images to the nearest training or test image.",
        options=DistanceOptions,
        build=build_nearest_neighbour_distance,
        higher_is_better=None,
    ),
    declare(
        name="memorisation",
        summary="Share of synthetic images nearer to a training image than to a test image: a half without copying.",
        options=CopyOptions,
        build=build_memorisation,
        citation="after Meehan et al., A Non-Parametric Test to Detect Data-Copying in Generative Models, AISTATS 2020",
        higher_is_better=None,  # a half is right: less is chance, or images that are all alike, and no merit
        unit="%",
    ),
)


@hookimpl
def balancebench_metrics() -> Sequence[MetricComponent[Metric]]:
    """Declare the metrics of synthetic images."""
    return METRICS
