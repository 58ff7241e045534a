"""The options and presets of `transitional_cgan`. Light.

preset    for                    what it is
cifar     32 pixels, a GPU       StyleGAN2-ADA's setting of this name: full width, no path length, no mixing
auto      64 or 128 pixels       StyleGAN2-ADA's setting of this name, which depends on the number of pixels
small     two cores, a quarter   ours: narrow networks and a short run
micro     tests, seconds         ours: the narrowest
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from balancebench.synthesis.generator_balancer import GeneratorOptions
from balancebench.synthesis.inception import inception_weights

__all__ = [
    "LARGEST_SIDE",
    "SMALLEST_SIDE",
    "Conditioning",
    "Recipe",
    "TransitionalCganOptions",
    "recipe_of",
    "transitional_cgan_ready",
]

Conditioning = Literal["plain", "transitional", "utlo"]
SMALLEST_SIDE, LARGEST_SIDE = 16, 128
"""Sides that the networks work at: powers of two; smaller images are padded to the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a preset fixes and options may change.

    channel_base: layers at a side of s pixels have channel_base / s channels, channel_max at most. latent_size: of z, w
    and all label embeddings. mapping_layers, label_mapping_layers: of G and of D. skips: D has residual connections.
    gamma: weight of R1. path_length_weight: 0 without. mixing: share of images of two latents. group: images whose
    deviation D sees. kimg, transition, ema, snapshot: thousands of real images shown to D. ada_kimg: in which p may go
    from 0 to 1. judged_images: made at each snapshot.
    """

    channel_base: int
    channel_max: int = 512
    latent_size: int = 512
    mapping_layers: int = 2
    label_mapping_layers: int = 8
    skips: bool = False
    noise: bool = True
    mixing: float = 0.0
    path_length_weight: float = 0.0
    gamma: float
    learning_rate: float = 0.0025
    batch_size: int
    group: int
    ema_kimg: float
    ada_kimg: float = 500
    kimg: float
    transition_start_kimg: float
    transition_end_kimg: float
    snapshot_kimg: float
    judged_images: int = 10_000


class TransitionalCganOptions(GeneratorOptions):
    """The options of `transitional_cgan`. What is left out is the preset's."""

    preset: Literal["cifar", "auto", "small", "micro"] = Field(
        default="auto",
        description="cifar and auto: StyleGAN2-ADA's settings for 32 and for more pixels; small: two cores, in a "
        "quarter of an hour; micro: tests",
    )
    conditioning: Conditioning = Field(
        default="transitional",
        description="how the networks learn classes: plain: from the start, as StyleGAN2-ADA; transitional: without "
        "classes first, which are blended in between two points of the run; utlo: layers up to 8x8 without, the "
        "others with classes",
    )
    augmentation: Literal["ada", "diff_augment", "none"] = Field(
        default="ada",
        description="what keeps the discriminator from learning few images by heart: ada: pixel, geometric and colour "
        "changes of adaptive probability; diff_augment: colour, translation and cutout of every image; or nothing",
    )
    ada_target: float = Field(
        default=0.6, gt=-1, lt=1, description="mean sign of the discriminator on real images that ada aims at"
    )
    mirror: bool = Field(
        default=False,
        description="show half of the real images mirrored, which is wrong where left and right tell classes apart",
    )
    asked_labels: Literal["data", "uniform"] = Field(
        default="data",
        description="classes asked of the generator in training: as frequent as in the data, or equally frequent",
    )
    checkpoint: Literal["best_fid", "last"] = Field(
        default="best_fid",
        description="which snapshot makes the images: that of the lowest FID to the kept images after the transition, "
        "or the last",
    )
    features: Literal["inception", "pixels"] = Field(
        default="pixels",
        description="what best_fid compares images by: Inception-v3 (weights must be on this machine), or their pixels "
        "at 8x8, which works everywhere and is a coarser measure",
    )
    patience: int = Field(
        default=5, ge=0, description="snapshots without a lower FID after which best_fid ends the run; 0: never"
    )
    kimg: float | None = Field(default=None, gt=0, description="length of the run, in thousands of real images shown")
    transition_start_kimg: float | None = Field(default=None, ge=0, description="when classes begin to be blended in")
    transition_end_kimg: float | None = Field(default=None, ge=0, description="when classes count in full")
    snapshot_kimg: float | None = Field(default=None, gt=0, description="from one snapshot and FID to the next")
    batch_size: int | None = Field(default=None, ge=2, description="real images of a batch, and as many made ones")
    gamma: float | None = Field(default=None, ge=0, description="weight of the penalty R1")
    channel_base: int | None = Field(
        default=None, ge=64, description="layers at a side of s pixels have this / s channels, up to the preset's most"
    )
    utlo_alpha: float = Field(default=1.0, gt=0, description="utlo: weight of the loss at 8x8, where the other's is 1")
    truncation: float = Field(
        default=1.0,
        ge=0,
        le=1,
        json_schema_extra={"trains": False},
        description="how far latents may lie from their mean when images are drawn: 1 is as trained, less varies less",
    )

    @model_validator(mode="after")
    def _transition_lies_within_the_run(self) -> Self:
        if self.conditioning == "transitional":
            recipe = recipe_of(self, LARGEST_SIDE)
            start, end, length = recipe.transition_start_kimg, recipe.transition_end_kimg, recipe.kimg
            if start > end:
                raise ValueError(f"transition_start_kimg {start:g} lies after transition_end_kimg {end:g}")
            if end >= length:
                raise ValueError(
                    f"transition_end_kimg {end:g} must lie before the end of the run, kimg {length:g}: the generator "
                    "would be left half conditional; a longer run or an earlier transition would do"
                )
        return self

    @property
    def needs_inception(self) -> bool:
        """Whether the snapshot is chosen by features of Inception-v3."""
        return self.checkpoint == "best_fid" and self.features == "inception"


def transitional_cgan_ready(options: TransitionalCganOptions) -> None:
    """Raise DataError where Inception's weights are needed and not there."""
    if options.needs_inception:
        inception_weights()


def recipe_of(options: TransitionalCganOptions, side: int) -> Recipe:
    """Return what the preset and the options say for networks that work at `side` pixels."""
    recipe = _auto(side, options.batch_size) if options.preset == "auto" else PRESETS[options.preset]
    asked: dict[str, Any] = {name: value for name in CHANGEABLE if (value := getattr(options, name)) is not None}
    recipe = replace(recipe, **asked)
    # Groups must not straddle batches: the largest size up to the preset's that divides the batch.
    sizes = (size for size in range(recipe.group, 0, -1) if recipe.batch_size % size == 0)
    return replace(recipe, group=next(sizes))


CHANGEABLE = (
    "kimg",
    "transition_start_kimg",
    "transition_end_kimg",
    "snapshot_kimg",
    "batch_size",
    "gamma",
    "channel_base",
)


def _auto(side: int, batch_size: int | None) -> Recipe:
    batch_size = batch_size or max(min(4096 // side, 32), 1)
    return Recipe(
        channel_base=16_384,
        skips=True,
        mixing=0.9,
        path_length_weight=2.0,
        gamma=0.0002 * side**2 / batch_size,
        batch_size=batch_size,
        group=min(batch_size, 4),
        ema_kimg=batch_size * 10 / 32,
        kimg=25_000,
        transition_start_kimg=2000,
        transition_end_kimg=4000,
        snapshot_kimg=200,
    )


PRESETS: dict[str, Recipe] = {
    "cifar": Recipe(
        channel_base=32_768,
        gamma=0.01,
        batch_size=64,
        group=32,
        ema_kimg=500,
        kimg=100_000,
        transition_start_kimg=2000,
        transition_end_kimg=4000,
        snapshot_kimg=200,
    ),
    "small": Recipe(
        channel_base=512,
        channel_max=64,
        latent_size=64,
        label_mapping_layers=2,
        noise=False,
        gamma=0.01,
        batch_size=32,
        group=8,
        ema_kimg=5,
        ada_kimg=50,
        kimg=100,
        transition_start_kimg=20,
        transition_end_kimg=40,
        snapshot_kimg=5,
        judged_images=1000,
    ),
    "micro": Recipe(
        channel_base=256,
        channel_max=16,
        latent_size=16,
        label_mapping_layers=2,
        noise=False,
        gamma=0.01,
        batch_size=8,
        group=4,
        ema_kimg=0.5,
        ada_kimg=50,
        kimg=0.064,
        transition_start_kimg=0.016,
        transition_end_kimg=0.032,
        snapshot_kimg=0.024,
        judged_images=16,
    ),
}
