"""Diffusion guided by a classifier of noisy images (Dhariwal and Nichol, NeurIPS 2021).

A class-conditional DDPM is trained, then a classifier p(y | x_t, t): the encoder half of a U-Net of the same shape,
with a mean over the image and a linear layer on it. Sampling follows s grad log p(y | x_t, t) (see `diffusion_steps`).
Unlike the authors' the variance is not learnt, the mean stands for their attention pool, and the classifier has the
network's width and recipe.

Axis suffixes: B images of a batch, K classes, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from balancebench import LabelledImages, SynthesisContext
from balancebench.synthesis.generator_balancer import GeneratorBalancer
from balancebench.synthesis.seeded_run import load_weights, save_weights, seeded_run
from balancebench.training.reproducibility import seeded_globals
from balancebench_gmaug.cbdm import cbdm_loss, noise_predictor
from balancebench_gmaug.cbdm_options import CbdmOptions
from balancebench_gmaug.diffusion_drawing import (
    DiffusionGenerator,
    Learnt,
    NoiseStreams,
    check_classes,
    restored_network,
)
from balancebench_gmaug.diffusion_network import LabelledUNet, memory_layout
from balancebench_gmaug.diffusion_options import UNetShape, shape_of
from balancebench_gmaug.diffusion_steps import Predict, kept_shares, noised, sample_steps, trailing_times
from balancebench_gmaug.diffusion_training import Loss, train_network
from balancebench_gmaug.guided_diffusion_options import GuidedDiffusionOptions

__all__ = ["GuidedDiffusion", "NoisyClassifier", "gradient_of"]

CLASSIFIER = "classifier"


class GuidedDiffusion(GeneratorBalancer[GuidedDiffusionOptions]):
    """Fills classes with images of a diffusion model that a classifier guides."""

    def train_generator(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Keep both curves, generator.json, and the averages of both networks' weights.

        Raises BalancerError where a class has no images, where images are too large or fewer than a batch, and where
        training diverges.
        """
        options = self.options
        check_classes(train)
        _, channels, rows, columns = train.images_NCHW.shape
        shape = shape_of(options.preset, rows, columns)
        plain = CbdmOptions(tau=0, label_dropout=options.label_dropout, guidance=options.guidance)
        with seeded_run(context) as random:
            network = LabelledUNet(shape, channels, train.class_count, options.dropout)
            classifier = NoisyClassifier(shape, channels, train.class_count, options.dropout)
            settings: dict[str, Any] = {"divisor": shape.divisor, "mirror": options.mirror}
            loss = cbdm_loss(plain, train.counts_K, random.device, context.precision)
            train_network(network, loss, train, options.recipe, context, random, **settings, stage="denoiser")
            train_network(
                classifier,
                classifier_loss(random.device, context.precision),
                train,
                options.classifier_recipe,
                context,
                random,
                **settings,
                stage=CLASSIFIER,
            )
        Learnt.of(train, context).save(context.artefacts, network)
        save_weights(context.artefacts, CLASSIFIER, classifier)

    def restore_generator(self, folder: Path, device: str) -> DiffusionGenerator:
        """Return the generator in evaluation mode."""
        learnt, options, torch_device = Learnt.read(folder), self.options, torch.device(device)
        network, unet_shape = restored_network(folder, learnt, options.preset, torch_device)
        with seeded_globals(0, torch_device):  # the weights drawn here are overwritten
            classifier = NoisyClassifier(unet_shape, learnt.image_shape[0], len(learnt.class_names))
        load_weights(folder, CLASSIFIER, classifier)
        classifier.to(torch_device).to(memory_format=memory_layout(torch_device))  # pyright: ignore[reportCallIssue]
        classifier.eval().requires_grad_(False)

        def sample(labels_B: Tensor, noise: NoiseStreams, shape: tuple[int, int, int]) -> Tensor:
            return sample_steps(
                noise_predictor(network, labels_B, learnt.precision, options),
                lambda: noise.normal(shape),
                trailing_times(options.passes),
                options.sampler,
                gradient=gradient_of(classifier, labels_B, options.classifier_scale),
            )

        return DiffusionGenerator(learnt, sample, unet_shape.divisor)


class NoisyClassifier(nn.Module):
    """The encoder half of a U-Net, told the time, and a linear layer on its mean over the image."""

    def __init__(self, shape: UNetShape, channels: int, class_count: int, dropout: float | None = None) -> None:
        super().__init__()
        unet: Any = LabelledUNet(shape, channels, 0, dropout).unet
        self.time_proj, self.time_embedding = unet.time_proj, unet.time_embedding
        self.conv_in, self.down_blocks, self.mid_block = unet.conv_in, unet.down_blocks, unet.mid_block
        self.norm = nn.GroupNorm(shape.groups, shape.channels[-1])
        self.head = nn.Linear(shape.channels[-1], class_count)

    def forward(self, images_BCHW: Tensor, times_B: Tensor) -> Tensor:
        """Return logits_BK."""
        embedding = self.time_embedding(self.time_proj(times_B))
        features_BCHW = self.conv_in(images_BCHW)
        for block in self.down_blocks:
            features_BCHW, _ = block(features_BCHW, embedding)
        features_BCHW = self.mid_block(features_BCHW, embedding)
        return self.head(F.silu(self.norm(features_BCHW)).mean(dim=(2, 3)))


def classifier_loss(device: torch.device, precision: Literal["fp32", "bf16"]) -> Loss[NoisyClassifier]:
    """Return the cross-entropy of images with noise of all steps."""
    kept_T = kept_shares(device)

    def loss(classifier: NoisyClassifier, images_BCHW: Tensor, labels_B: Tensor, random: Generator) -> Tensor:
        batch = noised(images_BCHW, kept_T, random)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits_BK = classifier(batch.images_BCHW, batch.times_B.float())
        return F.cross_entropy(logits_BK.float(), labels_B)

    return loss


def gradient_of(classifier: Callable[[Tensor, Tensor], Tensor], labels_B: Tensor, scale: float) -> Predict | None:
    """Return (images_BCHW, t) -> scale grad log p(y | x_t, t), or None where scale is 0; in float32, as it is small."""
    if scale == 0:
        return None

    def gradient(images_BCHW: Tensor, time: int) -> Tensor:
        with torch.enable_grad():
            noisy_BCHW = images_BCHW.detach().float().requires_grad_()
            times_B = torch.full((len(noisy_BCHW),), float(time), device=noisy_BCHW.device)
            logits_BK = classifier(noisy_BCHW, times_B)
            likelihood = -F.cross_entropy(logits_BK.float(), labels_B, reduction="sum")
            (gradient_BCHW,) = torch.autograd.grad(likelihood, noisy_BCHW)
        return scale * gradient_BCHW.to(images_BCHW.dtype)

    return gradient
