"""The options of `edm`. Light."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from balancebench_gmaug.diffusion_options import DiffusionOptions, NetworkPreset, Recipe

__all__ = ["EdmOptions"]

RECIPES: dict[NetworkPreset, Recipe] = {
    "micro": Recipe(images=19_200, batch_size=32, learning_rate=2e-3, ramp_images=1_000, ema_images=2_000),
    "tiny": Recipe(images=192_000, batch_size=64, learning_rate=1e-3, ramp_images=6_400, ema_images=20_000),
    "small": Recipe(images=4_000_000, batch_size=128, learning_rate=5e-4, ramp_images=200_000, ema_images=100_000),
    "paper": Recipe(images=20_000_000, batch_size=256, learning_rate=5e-4, ramp_images=1_000_000, ema_images=200_000),
}
AUGMENTATION_LABELS = 9
SMALL_SIDE, STEPS_SMALL, STEPS_LARGE = 32, 18, 40


class EdmOptions(DiffusionOptions):
    """The options of `edm`."""

    preset: NetworkPreset = Field(
        default="paper",
        description="network and recipe: micro (0.3 million weights, for tests), tiny (1.1, for two cores), small "
        "(9.0), paper (59.0 up to 32 pixels, 52.6 up to 64, 95.1 up to 128)",
    )
    sigma_data: Literal["images"] | Annotated[float, Field(gt=0)] = Field(
        default="images",
        description="standard deviation of the pixels in -1..1 that the network is scaled by: that of the kept images, "
        "or a number (the paper's is 0.5)",
    )
    augmentation: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="probability of each change (upside down, scale, turn, stretch, shift; half of the images are "
        "mirrored) of which the network is told, so that it draws none; 0: none. The authors take 0.12 for CIFAR",
    )
    sampler_steps: Annotated[int, Field(ge=2, strict=True)] | None = Field(
        default=None,
        json_schema_extra={"trains": False},
        description="noise levels of the sampler, each of two passes through the network but the last; the paper's are "
        "18 up to 32 pixels and 40 above",
    )
    guidance: float = Field(
        default=1.5,
        ge=0,
        json_schema_extra={"trains": False},
        description="classifier-free guidance: 1 is none, at half the cost; more makes classes purer and less varied",
    )
    guidance_from: float = Field(
        default=0.0,
        ge=0,
        json_schema_extra={"trains": False},
        description="noise level from which images are guided, in pixels of -1..1",
    )
    guidance_to: float = Field(
        default=80.0,
        gt=0,
        json_schema_extra={"trains": False},
        description="noise level up to which images are guided; 80 is the most there is",
    )

    @model_validator(mode="after")
    def _can_be_guided(self) -> Self:
        self.check_guidance(self.guidance)
        if self.guidance_from >= self.guidance_to:
            raise ValueError("guidance_from must be below guidance_to")
        return self

    @property
    def augmentation_labels(self) -> int:
        """Numbers that the network is told of what was changed of an image."""
        return AUGMENTATION_LABELS if self.augmentation > 0 else 0

    @property
    def recipe(self) -> Recipe:
        """The preset's recipe with what was asked instead."""
        return self.asked(RECIPES[self.preset])

    def levels(self, rows: int, columns: int) -> int:
        """Return the sampler's noise levels for images of this size."""
        return self.sampler_steps or (STEPS_SMALL if max(rows, columns) <= SMALL_SIDE else STEPS_LARGE)
