"""Declares what this plugin brings; what it does is imported only where it is built."""

from __future__ import annotations

from collections.abc import Sequence

from balancebench import Balancer, BalancerComponent, BalancerError, Classifier, Component, hookimpl
from balancebench.config import JSON
from balancebench_imagegen.image_files import digest_of_files, list_class_folders
from balancebench_imagegen.inception_weights import inception_weights
from balancebench_imagegen.options import AugmentationOptions, DcganOptions, ImagePoolOptions, ResNet18Options
from balancebench_imagegen.stable_diffusion_options import (
    StableDiffusionOptions,
    model_folder,
    model_identity,
    outside_data,
)

__all__ = ["balancebench_balancers", "balancebench_classifiers"]

PAPER = "Asthana, Wagle, Singh, Image Generation Analysis for Imbalanced Datasets, New York University"
POOL_EDGE_BYTES = 1024
PARQUET_EDGE_BYTES = 2**20


def build_augmentation(options: AugmentationOptions) -> Balancer:
    """Build `augmentation`."""
    from balancebench_imagegen.augmentation import Augmentation

    return Augmentation(options)


def build_dcgan(options: DcganOptions) -> Balancer:
    """Build `dcgan`."""
    from balancebench_imagegen.dcgan import Dcgan

    return Dcgan(options)


def dcgan_ready(options: DcganOptions) -> None:
    """Look for the weights that choosing by FID needs."""
    if options.checkpoint == "best_fid" and options.features == "inception":
        inception_weights()


def build_stable_diffusion(options: StableDiffusionOptions) -> Balancer:
    """Build `stable_diffusion`."""
    from balancebench_imagegen.stable_diffusion import StableDiffusion

    return StableDiffusion(options)


def stable_diffusion_ready(options: StableDiffusionOptions) -> None:
    """Look for the model on this machine: nothing is downloaded inside a run."""
    model_folder(options)


def build_image_pool(options: ImagePoolOptions) -> Balancer:
    """Build `image_pool`."""
    from balancebench_imagegen.image_pool import ImagePool

    return ImagePool(options)


def pool_identity(options: ImagePoolOptions) -> JSON:
    """Return the SHA-256 of the names, sizes and edges of the pool's files."""
    path = options.path
    if path.suffix.lower() != ".parquet":
        files = [file for found in list_class_folders(path).values() for file in found]
        return digest_of_files(path, files, edge_bytes=POOL_EDGE_BYTES)
    if not path.is_file():
        raise BalancerError(f"there is no file {path}")
    # The name of the one file says nothing of what is in it, and must not decide.
    return digest_of_files(path, [path], edge_bytes=PARQUET_EDGE_BYTES)


def build_resnet18(options: ResNet18Options) -> Classifier:
    """Build `resnet18_imagegen`."""
    from balancebench.training.classifier import NetworkClassifier
    from balancebench_imagegen.resnet18 import ResNet18

    return NetworkClassifier(
        lambda channels, _image_size: ResNet18(channels, variant=options.variant, width=options.width), options
    )


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Balancer]]:
    """Declare augmentation, DCGAN, Stable Diffusion and the image pool."""
    return [
        BalancerComponent(
            name="augmentation",
            summary="Fill classes with colour-jittered, warped, rotated and solarized copies of their images.",
            options=AugmentationOptions,
            build=build_augmentation,
            citation=PAPER,
            synthesises=True,
        ),
        BalancerComponent(
            name="dcgan",
            summary="Fill classes with images of a DCGAN trained on each.",
            options=DcganOptions,
            build=build_dcgan,
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
                if options.checkpoint == "best_fid" and options.features == "inception"
                else None
            ),
            ready=dcgan_ready,
            synthesises=True,
        ),
        BalancerComponent(
            name="stable_diffusion",
            summary="Fill classes with images of a pretrained diffusion model, prompted for each class.",
            options=StableDiffusionOptions,
            build=build_stable_diffusion,
            citation=f"{PAPER}; Rombach et al., High-Resolution Image Synthesis with Latent Diffusion, CVPR 2022",
            smoke={"preset": "tiny_random", "steps": 1, "target": 12, "batch_size": 16},
            outside_data=outside_data,
            identity=model_identity,
            ready=stable_diffusion_ready,
            synthesises=True,
        ),
        BalancerComponent(
            name="image_pool",
            summary="Fill classes with images from a folder or a parquet file.",
            options=ImagePoolOptions,
            build=build_image_pool,
            outside_data=lambda options: f"images of {options.path.name}",
            identity=pool_identity,
            synthesises=True,
        ),
    ]


@hookimpl
def balancebench_classifiers() -> Sequence[Component[Classifier]]:
    """Declare the paper's ResNet-18."""
    return [
        Component(
            name="resnet18_imagegen",
            summary="ResNet-18 as the paper's text describes it, or as its code builds it.",
            options=ResNet18Options,
            build=build_resnet18,
            citation=f"{PAPER}; He et al., Deep Residual Learning for Image Recognition, CVPR 2016",
            smoke={"width": 4, "epochs": 1},
        )
    ]
