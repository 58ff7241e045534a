"""The options of `mlp_cgan` and `fashion_cnn`. Light."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from balancebench.synthesis.generator_balancer import GeneratorOptions
from balancebench.training.options import (
    AdamBetas,
    BatchSize,
    Epochs,
    Normalisation,
    Optimiser,
    PeakLearningRate,
    Schedule,
    TrainingOptions,
)

__all__ = ["FashionCNNOptions", "GeneratorName", "MlpCganOptions"]

GeneratorName = Literal["mlp_leaky", "mlp_relu", "small_mlp_leaky", "big_mlp_leaky", "convolutional"]


class MlpCganOptions(GeneratorOptions):
    """The options of `mlp_cgan`; the defaults are the paper's."""

    generator: GeneratorName = Field(
        default="mlp_leaky",
        description="the generator network: one of the paper's four, or its code's unpublished convolutional one",
    )
    variant: Literal["text", "code"] = Field(
        default="text",
        description="text: new noise and labels for the generator's update; code: those of the discriminator's "
        "update once more, and the discriminator's loss halved, as the authors' program does",
    )
    epochs: int = Field(default=100, ge=1, description="passes over the oversampled training set")
    batch_size: int = Field(default=256, ge=2, description="real images in a batch, and as many generated ones")
    learning_rate: float = Field(default=2e-4, gt=0, description="learning rate of Adam, for both networks")
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="decay rates of Adam's moments")
    latent_size: int = Field(default=100, ge=1, description="normal random numbers an image is made from")
    embedding_size: int = Field(default=10, ge=1, description="numbers that stand for a class in either network")
    leak: float = Field(default=0.2, ge=0, lt=1, description="slope of leaky ReLUs below zero")
    dropout: float = Field(default=0.3, ge=0, le=0.99, description="share dropped after the discriminator's layers")

    @model_validator(mode="after")
    def _betas_are_decay_rates(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must lie in 0..1, 1 excluded")
        return self


class FashionCNNOptions(TrainingOptions):
    """The options of `fashion_cnn`; the defaults are the paper's recipe, but for the softmax."""

    softmax_output: bool = Field(
        default=False,
        description="end the network in a softmax and take the cross-entropy of its probabilities, as published, "
        "instead of the cross-entropy of logits",
    )
    epochs: Epochs = 30
    batch_size: BatchSize = 100
    optimiser: Optimiser = "adam"
    learning_rate: PeakLearningRate = 5e-4
    betas: AdamBetas = (0.99, 0.999)
    schedule: Schedule = "constant"
    normalisation: Normalisation = "half"
