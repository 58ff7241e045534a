"""The options of the similarity metrics, and how they are said in words. Light."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from balancebench import Options

__all__ = ["SsimOptions", "definition"]


class SsimOptions(Options):
    """The options of `ssim_merge_classes` and `ssim_super_sub_classes`: the paper leaves all of them open but size."""

    window: Literal["uniform", "gaussian"] = Field(
        default="uniform",
        description="what is compared around each pixel: uniform: 7x7, as scikit-image's default; gaussian: 11x11 with "
        "sigma 1.5, as Wang et al. 2004",
    )
    covariance: Literal["sample", "population"] = Field(
        default="sample", description="whether variances of a window are divided by its pixels less one, or by all"
    )
    channels: Literal["each", "grey"] = Field(
        default="each", description="each: of each colour, then their mean; grey: of the luminance, rounded"
    )
    resize: Literal["antialiased", "bilinear", "nearest"] = Field(
        default="antialiased",
        description="how images come to `size`: antialiased: bilinear, smoothed where they shrink; bilinear: without "
        "smoothing, as OpenCV's default; nearest",
    )
    crop: bool = Field(default=False, description="cut the square in the middle out first, instead of squashing")
    size: Annotated[int, Field(ge=11, le=4096, strict=True)] | Literal["as_is"] = Field(
        default=128, description='rows and columns that images are compared at; "as_is": their own'
    )
    most_pairs: int | None = Field(
        default=None,
        ge=4,
        description="at most so many pairs of a set: two an image of half as many images, drawn from it",
    )
    seed: int = Field(default=0, ge=0, description="of the drawing of pairs")


def definition(options: SsimOptions) -> str:
    """Return the definition in force, in words: a threshold belongs to one definition and not to another."""
    window = "7x7 uniform window" if options.window == "uniform" else "11x11 Gaussian window, sigma 1.5"
    size = "at their own size" if options.size == "as_is" else f"at {options.size}x{options.size}"
    cut = ", the square in the middle" if options.crop else ""
    colours = "each channel" if options.channels == "each" else "luminance"
    pairs = "2 pairs an image" if options.most_pairs is None else f"2 pairs an image, {options.most_pairs} at most"
    resized = "" if options.size == "as_is" else f" ({options.resize})"
    return f"{window}, {options.covariance} covariance, {colours}, {size}{resized}{cut}, {pairs}, seed {options.seed}"
