"""The diffusion models as they are declared. Light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import BalancerComponent
from balancebench_gmaug.cbdm_options import CbdmOptions
from balancebench_gmaug.diffusion_options import DiffusionOptions
from balancebench_gmaug.edm_options import EdmOptions
from balancebench_gmaug.guided_diffusion_options import GuidedDiffusionOptions

__all__ = ["DIFFUSION_MODELS"]


def _slow_on_cpu(options: DiffusionOptions) -> str | None:
    """Say so of presets that are made for a GPU, whatever else is asked."""
    preset = getattr(options, "preset", "")
    return None if preset in ("micro", "tiny") else f'preset "{preset}" takes days; "tiny" is for two cores'


DIFFUSION_MODELS: Sequence[BalancerComponent[Any]] = (
    BalancerComponent(
        name="edm",
        summary="Fill classes with images of a class-conditional diffusion model (EDM).",
        options=EdmOptions,
        build="balancebench_gmaug.edm:Edm",
        citation="Karras, Aittala, Aila, Laine, Elucidating the Design Space of Diffusion-Based Generative Models, "
        "NeurIPS 2022; Ho, Salimans, Classifier-Free Diffusion Guidance, 2021",
        smoke={"preset": "micro", "steps": 1, "batch_size": 2, "sampler_steps": 2, "target": 12},
        slow_on_cpu=_slow_on_cpu,
        synthesises=True,
        trains_generator=True,
        fewest_images=lambda _options: 1,
    ),
    BalancerComponent(
        name="cbdm",
        summary="Fill classes with images of a class-balancing diffusion model, whose classes lean on each other.",
        options=CbdmOptions,
        build="balancebench_gmaug.cbdm:Cbdm",
        citation="Qin, Zheng, Yao, Zhou, Zhang, Class-Balancing Diffusion Models, CVPR 2023",
        smoke={"preset": "micro", "steps": 1, "batch_size": 2, "sampler_steps": 2, "target": 12},
        slow_on_cpu=_slow_on_cpu,
        synthesises=True,
        trains_generator=True,
        fewest_images=lambda _options: 1,
    ),
    BalancerComponent(
        name="guided_diffusion",
        summary="Fill classes with images of a diffusion model that a classifier of noisy images guides.",
        options=GuidedDiffusionOptions,
        build="balancebench_gmaug.guided_diffusion:GuidedDiffusion",
        citation="Dhariwal, Nichol, Diffusion Models Beat GANs on Image Synthesis, NeurIPS 2021",
        smoke={"preset": "micro", "steps": 1, "batch_size": 2, "sampler_steps": 2, "target": 12},
        slow_on_cpu=_slow_on_cpu,
        synthesises=True,
        trains_generator=True,
        fewest_images=lambda _options: 1,
    ),
)
