"""Declares what this plugin brings; what it does is imported only where it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from balancebench import BalancerComponent, Classifier, Component, hookimpl
from balancebench_imagegen.options import (
    AugmentationOptions,
    DcganOptions,
    ImagePoolOptions,
    ResNet18Options,
    dcgan_ready,
)
from balancebench_imagegen.pool_files import pool_identity
from balancebench_imagegen.stable_diffusion_options import (
    StableDiffusionOptions,
    model_identity,
    model_ready,
    outside_data,
)

__all__ = ["balancebench_balancers", "balancebench_classifiers"]

MOST_EPOCHS = 50  # of DCGAN on a processor: minutes a class
PAPER = "Asthana, Wagle, Singh, Image Generation Analysis for Imbalanced Datasets, New York University"


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare augmentation, DCGAN, Stable Diffusion and the image pool."""
    return [
        BalancerComponent(
            name="augmentation",
            summary="Fill classes with colour-jittered, warped, rotated and solarized copies of their images.",
            options=AugmentationOptions,
            build="balancebench_imagegen.augmentation:Augmentation",
            citation=PAPER,
            synthesises=True,
            fewest_images=lambda _options: 1,
        ),
        BalancerComponent(
            name="dcgan",
            summary="Fill classes with images of a DCGAN trained on each.",
            options=DcganOptions,
            build="balancebench_imagegen.dcgan:Dcgan",
            citation=f"{PAPER}; Radford, Metz, Chintala, Unsupervised Representation Learning with DCGANs, ICLR 2016",
            smoke={
                "epochs": 1,
                "features": "pixels",
                "latent": 4,
                "generator_width": 2,
                "discriminator_width": 2,
                "batch_size": 8,
            },
            outside_data=lambda options: (
                "Inception-v3 weights (ImageNet-1k), to choose the generator's epoch"
                if options.needs_inception
                else None
            ),
            ready=dcgan_ready,
            slow_on_cpu=lambda options: (
                f"{options.epochs} epochs of each class; epochs = 20 is a look"
                if options.epochs > MOST_EPOCHS
                else None
            ),
            synthesises=True,
            fewest_images=lambda _options: 2,
            trains_generator=True,
            revision=3,
        ),
        BalancerComponent(
            name="stable_diffusion",
            summary="Fill classes with images of a pretrained diffusion model, prompted for each class.",
            options=StableDiffusionOptions,
            build="balancebench_imagegen.stable_diffusion:StableDiffusion",
            citation=f"{PAPER}; Rombach et al., High-Resolution Image Synthesis with Latent Diffusion, CVPR 2022",
            smoke={"preset": "tiny_random", "steps": 1, "target": 12, "batch_size": 16},
            outside_data=outside_data,
            identity=model_identity,
            ready=model_ready,
            slow_on_cpu=lambda options: (
                None if options.preset == "tiny_random" else 'minutes an image; preset = "tiny_random" tries a suite'
            ),
            synthesises=True,
            revision=2,
        ),
        BalancerComponent(
            name="image_pool",
            summary="Fill classes with images from a folder or a parquet file.",
            options=ImagePoolOptions,
            build="balancebench_imagegen.image_pool:ImagePool",
            outside_data=lambda options: f"images of {options.path.name}",
            identity=pool_identity,
            synthesises=True,
            revision=2,
        ),
    ]


@hookimpl
def balancebench_classifiers() -> Sequence[Component[Any, Classifier]]:
    """Declare the paper's ResNet-18."""
    return [
        Component(
            name="resnet18_imagegen",
            summary="ResNet-18 as the paper's text describes it, or as its code builds it.",
            options=ResNet18Options,
            build="balancebench_imagegen.resnet18:resnet18",
            citation=f"{PAPER}; He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
            smoke={"width": 4, "epochs": 1},
        )
    ]
