"""The options of `cbdm`, and those that it shares with `guided_diffusion`. Light."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from balancebench_gmaug.diffusion_options import DiffusionOptions, Recipe

__all__ = ["CbdmOptions", "StepPreset", "SteppedOptions"]

StepPreset = Literal["micro", "tiny", "small", "ddpm"]

RECIPES: dict[StepPreset, Recipe] = {
    "micro": Recipe(images=19_200, batch_size=32, learning_rate=2e-3, ramp_images=1_000, ema_images=2_000, clip=1.0),
    "tiny": Recipe(images=192_000, batch_size=64, learning_rate=1e-3, ramp_images=6_400, ema_images=20_000, clip=1.0),
    "small": Recipe(
        images=4_000_000, batch_size=128, learning_rate=5e-4, ramp_images=200_000, ema_images=100_000, clip=1.0
    ),
    # 300,000 steps, warm-up over 5,000 of them, and an average that keeps 0.9999 in each.
    "ddpm": Recipe(
        images=14_400_000,
        batch_size=48,
        learning_rate=2e-4,
        ramp_images=240_000,
        ema_images=332_694,
        ema_ramp=None,
        clip=1.0,
    ),
}
ANCESTRAL_STEPS, DDIM_STEPS = 1000, 100


class SteppedOptions(DiffusionOptions):
    """What balancers of diffusion in a thousand steps can be asked."""

    preset: StepPreset = Field(
        default="ddpm",
        description="network and recipe: micro (0.3 million weights, for tests), tiny (1.1, for two cores), small "
        "(9.0), ddpm (35.7, as published for CIFAR)",
    )
    sampler: Literal["ddim", "ancestral"] = Field(
        default="ddim",
        json_schema_extra={"trains": False},
        description="ddim: an image follows from its first noise; ancestral: new noise at every step",
    )
    sampler_steps: Annotated[int, Field(ge=2, le=1000, strict=True)] | None = Field(
        default=None,
        json_schema_extra={"trains": False},
        description="passes through the network for an image: 100 for ddim, 1,000 for ancestral if unset",
    )
    guidance: float = Field(
        default=2.6,
        ge=0,
        json_schema_extra={"trains": False},
        description="classifier-free guidance: 1 is none, at half the cost; CBDM's code calls 2.6 omega = 1.6",
    )

    @model_validator(mode="after")
    def _can_be_guided(self) -> Self:
        self.check_guidance(self.guidance)
        return self

    @property
    def recipe(self) -> Recipe:
        """The preset's recipe with what was asked instead."""
        return self.asked(RECIPES[self.preset])

    @property
    def passes(self) -> int:
        """Steps of the sampler."""
        return self.sampler_steps or (DDIM_STEPS if self.sampler == "ddim" else ANCESTRAL_STEPS)


class CbdmOptions(SteppedOptions):
    """The options of `cbdm`."""

    tau: float = Field(
        default=1.0, ge=0, description="weight of the regulariser at the last noise step; 0 is a plain DDPM"
    )
    other_label: Literal["data", "uniform", "none"] = Field(
        default="data",
        description="label whose prediction each one is compared with: data, drawn as frequently as its images (the "
        "authors' code from scratch); uniform, all classes alike (their fine-tuning); none, no class",
    )
    label_dropout_by: Literal["image", "batch"] = Field(
        default="image",
        description="image: labels are hidden one by one; batch: all of a step or none, as the authors' code does",
    )
    tail_to_head: bool = Field(
        default=False,
        description="the image that a noisy one is to lead back to may be another of the batch, of a class as large or "
        "larger, in proportion to how likely it is (Zhang et al. 2024)",
    )
