"""Shapes of the U-Nets, recipes of their training, and what all diffusion balancers can be asked. Light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from balancebench import BalancerError
from balancebench.synthesis.generator_balancer import GeneratorOptions

__all__ = ["LARGEST_SIDE", "DiffusionOptions", "NetworkPreset", "Recipe", "UNetShape", "shape_of"]

LARGEST_SIDE = 128
NetworkPreset = Literal["micro", "tiny", "small", "paper"]

Images = Annotated[int, Field(ge=1, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetShape:
    """A U-Net: `channels` of each level, of which every next has half the rows and columns.

    layers: residual blocks of a level on the way down; one more on the way up. attention: the levels that have it.
    groups: of every group normalisation. head_size: channels of an attention head; None: one head. scale_shift: time
    and class scale and shift the normalised features, instead of being added before.
    """

    channels: tuple[int, ...]
    layers: int
    attention: tuple[bool, ...]
    groups: int = 32
    head_size: int | None = None
    scale_shift: bool = False
    dropout: float = 0.0

    @property
    def divisor(self) -> int:
        """What rows and columns must be multiples of."""
        return 2 ** (len(self.channels) - 1)


MICRO = UNetShape(channels=(16, 32, 32), layers=1, attention=(False, False, True), groups=8)
TINY = UNetShape(channels=(32, 64, 64), layers=1, attention=(False, True, False), groups=8)
SMALL = UNetShape(channels=(64, 128, 128, 128), layers=2, attention=(False, True, False, False), groups=16, dropout=0.1)
DDPM = UNetShape(channels=(128, 256, 256, 256), layers=2, attention=(False, True, False, False), dropout=0.1)
PAPER_32 = UNetShape(channels=(256, 256, 256), layers=4, attention=(False, True, False), dropout=0.2)
PAPER_64 = UNetShape(
    channels=(128, 256, 256, 256),
    layers=3,
    attention=(False, False, True, True),
    head_size=64,
    scale_shift=True,
    dropout=0.1,
)
PAPER_128 = UNetShape(
    channels=(128, 128, 256, 384, 512),
    layers=2,
    attention=(False, False, False, True, True),
    head_size=64,
    scale_shift=True,
    dropout=0.1,
)


def shape_of(preset: str, rows: int, columns: int) -> UNetShape:
    """Return the U-Net of a preset for images of so many rows and columns; "paper" has one for each size.

    Raises BalancerError where images are larger than 128 pixels.
    """
    side = max(rows, columns)
    if side > LARGEST_SIDE:
        raise BalancerError(
            f"images of {rows}x{columns} are too large for a diffusion model on pixels, {LARGEST_SIDE} is the most: "
            "load them smaller (the data set's option `size`)"
        )
    match preset:
        case "micro":
            return MICRO
        case "tiny":
            return TINY
        case "small":
            return SMALL
        case "ddpm":
            return DDPM
        case _:
            return PAPER_32 if side <= 32 else PAPER_64 if side <= 64 else PAPER_128


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a diffusion model is trained. All that is counted in images counts those of the batches.

    ramp_images: over which the learning rate rises from 0. ema_images: after so many a weight's share in the moving
    average has halved. ema_ramp: that half-life is at most this share of the images so far; None: no limit. clip: the
    largest norm of the gradient; None: any.
    """

    images: int
    batch_size: int
    learning_rate: float
    ramp_images: int
    ema_images: int
    ema_ramp: float | None = 0.05
    clip: float | None = None

    @property
    def steps(self) -> int:
        """Optimiser steps: the last batch is a whole one."""
        return -(-self.images // self.batch_size)


class DiffusionOptions(GeneratorOptions):
    """What all balancers that train a diffusion model can be asked; what is None is the preset's."""

    images: Images | None = Field(
        default=None, description="images that the network is trained on in all, a class's as often as it has them"
    )
    steps: Images | None = Field(default=None, description="optimiser steps, instead of `images`")
    batch_size: Images | None = Field(default=None, description="images of a step")
    learning_rate: float | None = Field(default=None, gt=0, description="Adam's learning rate after its rise")
    ramp_images: Annotated[int, Field(ge=0, strict=True)] | None = Field(
        default=None, description="images over which the learning rate rises from 0"
    )
    ema_images: Images | None = Field(
        default=None,
        description="half-life of the moving average of the weights, which makes the images; in images",
    )
    dropout: float | None = Field(default=None, ge=0, lt=1, description="dropout inside the residual blocks")
    label_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of the images whose label is hidden from the network in a step: guidance needs some",
    )
    mirror: bool = Field(
        default=False,
        description="mirror every second image of a batch; wrong where orientation tells the class (digits, letters)",
    )

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.images is not None and self.steps is not None:
            raise ValueError("give images or steps, not both: one follows from the other by batch_size")
        return self

    def check_guidance(self, guidance: float) -> None:
        """Raise ValueError where images are to be guided away from those of no class, which no training would show."""
        if guidance != 1 and self.label_dropout == 0:
            raise ValueError(
                f"guidance = {guidance:g} needs a label_dropout above 0; without, only guidance = 1 is left"
            )

    def asked(self, preset: Recipe) -> Recipe:
        """Return the preset's recipe with what these options ask instead."""
        batch_size = self.batch_size or preset.batch_size
        images = self.steps * batch_size if self.steps is not None else self.images or preset.images
        return Recipe(
            images=images,
            batch_size=batch_size,
            learning_rate=self.learning_rate or preset.learning_rate,
            ramp_images=preset.ramp_images if self.ramp_images is None else self.ramp_images,
            ema_images=self.ema_images or preset.ema_images,
            ema_ramp=preset.ema_ramp,
            clip=preset.clip,
        )
