"""The options of `guided_diffusion`. Light."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from balancebench_gmaug.cbdm_options import SteppedOptions
from balancebench_gmaug.diffusion_options import Recipe

__all__ = ["GuidedDiffusionOptions"]

CLASSIFIER_SHARE = 4


class GuidedDiffusionOptions(SteppedOptions):
    """The options of `guided_diffusion`."""

    guidance: float = Field(
        default=1.0,
        ge=0,
        json_schema_extra={"trains": False},
        description="guidance without the classifier, besides that with it; 1 is none, at half the cost",
    )
    classifier_scale: float = Field(
        default=1.0,
        ge=0,
        json_schema_extra={"trains": False},
        description="what the classifier's gradient is multiplied by; 0 draws without the classifier",
    )
    classifier_steps: Annotated[int, Field(ge=1, strict=True)] | None = Field(
        default=None, description="optimiser steps of the classifier; a quarter of the network's if unset"
    )

    @property
    def classifier_recipe(self) -> Recipe:
        """How the classifier is trained: as the network is, for fewer steps."""
        recipe = self.recipe
        steps = self.classifier_steps or -(-recipe.steps // CLASSIFIER_SHARE)
        return replace(recipe, images=steps * recipe.batch_size)
