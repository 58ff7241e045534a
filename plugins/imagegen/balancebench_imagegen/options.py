"""The options of augmentation, DCGAN, the image pool and the ResNet. Light."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from balancebench import Options
from balancebench.synthesis.fit_options import SyntheticFitOptions
from balancebench.synthesis.generator_balancer import GeneratorOptions
from balancebench.synthesis.inception import inception_weights
from balancebench.synthesis.target import Target
from balancebench.training.options import (
    Augmentation,
    BatchSize,
    Epochs,
    Momentum,
    PeakLearningRate,
    TrainingOptions,
    WeightDecay,
)

__all__ = ["AugmentationOptions", "DcganOptions", "ImagePoolOptions", "ResNet18Options", "dcgan_ready"]


class AugmentationOptions(Options):
    """The options of `augmentation`; the defaults are the paper's."""

    target: Target = "largest"
    brightness: float = Field(default=0.5, ge=0, description="brightness is multiplied by 1 - this to 1 + this")
    hue: float = Field(default=0.3, ge=0, le=0.5, description="hue is turned by up to this share of the circle")
    distortion: float = Field(
        default=0.2, ge=0, lt=1, description="corners move inwards by up to this share of half a side"
    )
    rotation_degrees: tuple[float, float] = Field(
        default=(0.0, 180.0), description="least and largest angle of rotation, counter-clockwise"
    )
    solarize_threshold: float = Field(
        default=0.75, ge=0, le=255, description="pixels at or above it are inverted, on the scale of `threshold_scale`"
    )
    threshold_scale: Literal["0..1", "0..255"] = Field(
        default="0..1",
        description="scale of the threshold: 0..1 as the paper's text reads; 0..255 as the authors' code ran it, where "
        "0.75 inverts every pixel but black",
    )
    solarize_probability: float = Field(default=0.5, ge=0, le=1, description="with which an image is solarized")
    solarize_draws: Literal["once", "twice"] = Field(
        default="once",
        description="once: `solarize_probability` is the share of the images, a half as the paper's text reads; twice: "
        "of those only every second, by a draw of its own, a quarter in all as the authors' code ran it",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rotation_degrees[0] > self.rotation_degrees[1]:
            raise ValueError("rotation_degrees must be the least and the largest angle, in this order")
        if self.threshold_scale == "0..1" and self.solarize_threshold > 1:
            raise ValueError('a solarize_threshold above 1 needs threshold_scale = "0..255"')
        return self

    @property
    def threshold_levels(self) -> float:
        """The threshold in levels of 0..255."""
        return self.solarize_threshold * (255 if self.threshold_scale == "0..1" else 1)


class DcganOptions(GeneratorOptions):
    """The options of `dcgan`; the defaults are the paper's."""

    classes: Literal["smaller", "all"] | list[str] = Field(
        default="smaller",
        description="classes that a model is trained for: smaller: those with fewer images than the largest; all; or "
        "a list of names",
    )
    train_on: Literal["kept", "withheld_too"] = Field(
        default="kept",
        description="kept: the images that the imbalance left; withheld_too: also those it removed, as the authors did "
        "(marks every row)",
    )
    variant: Literal["text", "code"] = Field(
        default="text",
        description="text: what the paper says; code: as the authors ran it, with noise on what the discriminator "
        "sees, FID of the last batch of that, forgotten every 100 epochs, and images whose negative values wrap around",
    )
    checkpoint: Literal["best_fid", "last"] = Field(
        default="best_fid", description="which generator makes the images: that of the epoch of lowest FID, or the last"
    )
    features: Literal["inception", "pixels"] = Field(
        default="inception",
        description="what best_fid compares images by: Inception-v3 (weights must be on this machine), or their pixels "
        "at 8x8, which works everywhere and is a coarser measure",
    )
    latent: int = Field(default=100, ge=1, le=4096, description="numbers of noise that an image is made from")
    generator_width: int = Field(default=64, ge=1, le=1024, description="channels of the generator's last hidden layer")
    discriminator_width: int = Field(
        default=64, ge=1, le=1024, description="channels of the discriminator's first layer"
    )
    generator_learning_rate: float = Field(default=5e-5, gt=0, description="Adam's learning rate of the generator")
    discriminator_learning_rate: float = Field(default=2e-4, gt=0, description="Adam's rate of the discriminator")
    beta1: float = Field(default=0.5, ge=0, lt=1, description="Adam's decay of the first moment, of both networks")
    real_label: float = Field(default=0.9, gt=0, le=1, description="what the discriminator is to say of real images")
    fake_label: float = Field(default=0.1, ge=0, lt=1, description="what the discriminator is to say of made images")
    batch_size: BatchSize = 128
    epochs: int = Field(default=500, ge=1, description="passes over the images of a class")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.fake_label >= self.real_label:
            raise ValueError("fake_label must be below real_label")
        return self

    @property
    def needs_inception(self) -> bool:
        """Whether the generator's epoch is chosen by features of Inception-v3."""
        return self.checkpoint == "best_fid" and self.features == "inception"


def dcgan_ready(options: DcganOptions) -> None:
    """Raise DataError where Inception's weights are needed and not there."""
    if options.needs_inception:
        inception_weights()


class ImagePoolOptions(SyntheticFitOptions):
    """The options of `image_pool`."""

    target: Target = "largest"
    path: Path = Field(
        json_schema_extra={"identity": False},
        description="folder with one sub-folder of images a class, or a parquet file with one row an image",
    )
    image_column: str = Field(default="image", min_length=1, description="parquet: column with the encoded images")
    label_column: str = Field(
        default="label", min_length=1, description="parquet: column with class names, or with class ids from 0"
    )


class ResNet18Options(TrainingOptions):
    """The options of `resnet18_imagegen`; the recipe is the one of the authors' code."""

    variant: Literal["text", "code"] = Field(
        default="text",
        description="text: 64 to 512 channels and max-pooling behind the first layer; code: 42 to 336 channels, no "
        "max-pooling, convolutions with bias",
    )
    width: int | None = Field(
        default=None, ge=4, le=512, description="channels of the first stage instead of the variant's 64 or 42"
    )
    epochs: Epochs = 50
    learning_rate: PeakLearningRate = 0.2
    momentum: Momentum = 0.0005
    weight_decay: WeightDecay = 5e-4
    batch_size: BatchSize = 128
    augmentation: Augmentation = "crop_flip"
