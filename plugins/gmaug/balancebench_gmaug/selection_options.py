"""The options of the balancers that choose among, or stand beside, what a generator makes. Light."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from balancebench import BalancerReference, Options
from balancebench.synthesis.target import ImageCount, Target

__all__ = ["CasOptions", "EqualExposureOptions", "GmAugOptions"]


class GmAugOptions(Options):
    """The options of `gm_aug`."""

    base: BalancerReference = Field(
        description="the balancer whose images are chosen from: one that trains a generator is drawn from as often as "
        "needed; of any other what it made is all there is, so give it a larger target"
    )
    target: Target = "largest"
    alpha: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="an image is kept where the classifier gives its class at least this probability; 0 keeps all, "
        "without a classifier: the paper's cGAN-aug",
    )
    rounds: int = Field(default=2, ge=1, le=20, description="times that the set is chosen, each by a new classifier")
    epsilon_points: float | None = Field(
        default=None,
        ge=0,
        description="stop after a round whose classifier gains less validation accuracy (mean over classes), in "
        "points; left out, all rounds are made",
    )
    surplus: float = Field(
        default=10, ge=1, le=1000, description="at most so many candidates for each image that a class is short of"
    )
    shortage: Literal["top", "short"] = Field(
        default="top",
        description="classes of which too few reach alpha: top: filled with the most probable of the rest; "
        "short: left with fewer images",
    )
    logit_adjusted: bool = Field(
        default=False,
        description="take the logarithm of the class sizes that the classifier was trained with off its logits, which "
        "else give small classes low probabilities",
    )


class CasOptions(Options):
    """The options of `cas`."""

    base: BalancerReference = Field(description="the balancer whose images alone are trained on")
    images: Literal["train", "largest"] | ImageCount | dict[str, ImageCount] = Field(
        default="largest",
        description="made images of each class: as many as it has real ones (train), as the largest class has, a "
        "number, or a table class name -> number",
    )


class EqualExposureOptions(Options):
    """The options of `equal_exposure`."""

    base: BalancerReference = Field(
        description="the balancer whose added images are counted, and replaced by repeats of real ones"
    )
