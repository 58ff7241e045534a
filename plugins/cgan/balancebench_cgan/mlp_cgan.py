"""Fills classes with the images of a conditional GAN (Mankikar, Patel and Zhang, section 3).

The GAN is trained on the imbalanced set oversampled to equal classes: each class's images in their order, round and
round, until it has as many as the largest. With a batch of real images x of classes y, noise z and drawn classes c,

    the discriminator minimises  -mean log D(x, y) - mean log(1 - D(G(z, c), c)),
    then the generator minimises -mean log D(G(z, c), c),

the binary cross-entropy of the paper. D's sigmoid is taken together with the logarithm, which is equal, and exact where
the sigmoid rounds to 0 or 1. Variants: the text leaves open what the generator's update draws, so that it draws new z
and c; the authors' program keeps those of the discriminator's update, and halves the discriminator's loss.

Axis suffixes: N training images, M oversampled ones, B images of a batch, K classes, P pixels (channels * rows *
columns), C channels, H rows, W columns.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from balancebench import BalancerError, LabelledImages, SynthesisContext
from balancebench.synthesis.curves import Curves
from balancebench.synthesis.generator_balancer import GeneratorBalancer
from balancebench.synthesis.seeded_run import from_unit_range, load_weights, save_weights, seeded_run, to_unit_range
from balancebench.training.reproducibility import seeded_globals
from balancebench.training.resident import ResidentImages
from balancebench_cgan.networks import Discriminator, Generator, make_generator
from balancebench_cgan.options import MlpCganOptions

__all__ = [
    "AdversarialStep",
    "Draw",
    "MlpCgan",
    "Networks",
    "TrainedGenerator",
    "make_networks",
    "oversampled_indices",
]

FACTS = "generator.json"
SECONDS_BETWEEN_REPORTS = 0.5


class Networks(NamedTuple):
    """The two that play against each other."""

    generator: Generator
    discriminator: Discriminator


class Draw(NamedTuple):
    """What the generator makes a batch from: noise_BZ standard normal, labels_B int64."""

    noise_BZ: Tensor
    labels_B: Tensor


class MlpCgan(GeneratorBalancer[MlpCganOptions]):
    """Trains a conditional GAN on the oversampled set, and has it make what each class is short of."""

    def train_generator(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Keep curves.json, generator.json, generator.safetensors and discriminator.safetensors.

        Raises BalancerError where there is one image in all, and where training diverges.
        """
        if len(train) < 2:
            raise BalancerError("a GAN needs at least 2 training images, and there is 1")
        with seeded_run(context) as random:
            _, *image_shape = train.images_NCHW.shape
            networks = make_networks(self.options, image_shape, train.class_count, random.device)
            self._train(networks, train, context, random)
        save_weights(context.artefacts, "generator", networks.generator)
        save_weights(context.artefacts, "discriminator", networks.discriminator)
        facts = {
            "image_shape": image_shape,
            "class_names": train.class_names,
            "is_learnt_K": (train.counts_K > 0).tolist(),
        }
        (context.artefacts / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    def restore_generator(self, folder: Path, device: str) -> TrainedGenerator:
        """Return the generator in evaluation mode."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        class_names, torch_device = facts["class_names"], torch.device(device)
        with seeded_globals(0, torch_device):  # the weights drawn here are overwritten
            networks = make_networks(self.options, facts["image_shape"], len(class_names), torch_device)
        load_weights(folder, "generator", networks.generator)
        unlearnt = {
            label: name
            for label, (name, is_learnt) in enumerate(zip(class_names, facts["is_learnt_K"], strict=True))
            if not is_learnt
        }
        return TrainedGenerator(networks.generator.eval(), self.options.latent_size, unlearnt)

    def _train(
        self, networks: Networks, train: LabelledImages, context: SynthesisContext, random: torch.Generator
    ) -> None:
        options, device = self.options, random.device
        resident = ResidentImages.upload(train, device)
        pixels_NP = resident.images_NCHW.flatten(1)
        index_M = torch.from_numpy(oversampled_indices(train)).to(device)
        classes_K = torch.from_numpy(np.flatnonzero(train.counts_K)).to(device)
        step = AdversarialStep.begin(networks, options, context.precision)
        curves = Curves(context.artefacts)
        # A last batch of one image would leave batch normalisation without a deviation.
        steps = len(index_M) // options.batch_size + (len(index_M) % options.batch_size > 1)
        report = _Report(context, steps=steps, epochs=options.epochs)
        for epoch in range(options.epochs):
            shuffled_M = index_M[torch.randperm(len(index_M), generator=random, device=device)]
            loss_sums = torch.zeros(2, device=device)
            for index_B in shuffled_M.split(options.batch_size)[:steps]:
                size = len(index_B)
                first = Draw(_noise(size, options.latent_size, random), _draw_labels(size, classes_K, random))
                second = first
                if options.variant == "text":
                    second = Draw(_noise(size, options.latent_size, random), _draw_labels(size, classes_K, random))
                pixels_BP = to_unit_range(pixels_NP.index_select(0, index_B))
                loss_sums += step(pixels_BP, resident.labels_N.index_select(0, index_B), first, second)
                report.step_finished(epoch)
            context.count(len(index_M), 2 * steps)  # each network has an optimiser
            generator_loss, discriminator_loss = (loss_sums / steps).tolist()  # here alone the epoch waits
            curves.add(epoch, generator_loss=generator_loss, discriminator_loss=discriminator_loss)
            report.epoch_finished(epoch, generator_loss, discriminator_loss)


class TrainedGenerator:
    """The generator, its weights at rest. unlearnt: label -> name of the classes that had no training images."""

    def __init__(self, network: Generator, latent_size: int, unlearnt: Mapping[int, str]) -> None:
        self._network = network
        self._latent_size = latent_size
        self._unlearnt = unlearnt

    def draw(self, labels_B: NDArray[np.int64], random: torch.Generator) -> NDArray[np.uint8]:
        """Return images_BCHW; raise BalancerError where a class had no images to learn from."""
        for label, name in self._unlearnt.items():
            if label in labels_B:
                raise BalancerError(
                    f"class {name!r} had no images for the GAN to learn from: keep some of it, or give a target table "
                    "without it"
                )
        with torch.inference_mode():
            noise_BZ = _noise(len(labels_B), self._latent_size, random)
            images_BCHW = self._network(noise_BZ, torch.from_numpy(labels_B).to(random.device))
            return from_unit_range(images_BCHW).cpu().numpy()


def _noise(size: int, latent_size: int, random: torch.Generator) -> Tensor:
    return torch.randn(size, latent_size, generator=random, device=random.device)


def _draw_labels(size: int, classes_K: Tensor, random: torch.Generator) -> Tensor:
    """Return labels_B, each of the classes that have images as likely as any other."""
    return classes_K[torch.randint(len(classes_K), (size,), generator=random, device=random.device)]


def oversampled_indices(train: LabelledImages) -> NDArray[np.int64]:
    """Return indices_M of the training images, class by class, each class's in order and round again up to the largest.

    A class without images has none.
    """
    largest = int(train.counts_K.max())
    return np.concatenate(
        [np.resize(np.flatnonzero(train.labels_N == label), largest) for label in np.flatnonzero(train.counts_K)]
    )


def make_networks(
    options: MlpCganOptions, image_shape: Sequence[int], class_count: int, device: torch.device
) -> Networks:
    """Return new networks for images of (C, H, W), in training mode."""
    channels, rows, columns = image_shape
    generator = make_generator(
        options.generator,
        image_shape=(channels, rows, columns),
        class_count=class_count,
        latent_size=options.latent_size,
        embedding_size=options.embedding_size,
        leak=options.leak,
    )
    discriminator = Discriminator(
        image_shape=(channels, rows, columns),
        class_count=class_count,
        embedding_size=options.embedding_size,
        leak=options.leak,
        dropout=options.dropout,
    )
    return Networks(generator.to(device), discriminator.to(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialStep:
    """One update of the discriminator, then one of the generator. Nothing in it waits for the device.

    discriminator_scale: what the discriminator's loss is multiplied by, before its gradient and its report.
    """

    networks: Networks
    generator_optimiser: torch.optim.Optimizer
    discriminator_optimiser: torch.optim.Optimizer
    discriminator_scale: float
    precision: Literal["fp32", "bf16"]

    @classmethod
    def begin(
        cls, networks: Networks, options: MlpCganOptions, precision: Literal["fp32", "bf16"] = "fp32"
    ) -> AdversarialStep:
        """Return the step of a training that begins, with new optimisers."""
        generator_optimiser, discriminator_optimiser = (
            torch.optim.Adam(
                network.parameters(),
                lr=options.learning_rate,
                betas=options.betas,
                fused=next(network.parameters()).device.type != "mps",
            )
            for network in networks
        )
        return cls(
            networks=networks,
            generator_optimiser=generator_optimiser,
            discriminator_optimiser=discriminator_optimiser,
            discriminator_scale=0.5 if options.variant == "code" else 1.0,
            precision=precision,
        )

    def __call__(self, pixels_BP: Tensor, labels_B: Tensor, first: Draw, second: Draw) -> Tensor:
        """Take the step on real pixels in -1..1 and their labels; return the losses of generator and discriminator.

        first, second: what the generator makes images from, for the discriminator's update and for its own.
        """
        autocast = torch.autocast(pixels_BP.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")
        with autocast:
            discriminator_loss = self._discriminator_loss(pixels_BP, labels_B, first)
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        discriminator_loss.backward()
        self.discriminator_optimiser.step()

        self.networks.discriminator.requires_grad_(False)  # the generator's update needs no gradient of its weights
        with autocast:
            generator_loss = self._generator_loss(second)
        self.generator_optimiser.zero_grad(set_to_none=True)
        generator_loss.backward()
        self.generator_optimiser.step()
        self.networks.discriminator.requires_grad_(True)
        return torch.stack([generator_loss.detach(), discriminator_loss.detach()])

    def _discriminator_loss(self, pixels_BP: Tensor, labels_B: Tensor, drawn: Draw) -> Tensor:
        generator, discriminator = self.networks
        with torch.no_grad():
            generated_BP = generator(*drawn).flatten(1)
        # Nothing in the discriminator looks across a batch, so that real and generated images go through it at once.
        logits_of_both = discriminator(
            torch.cat([pixels_BP, generated_BP.to(pixels_BP.dtype)]), torch.cat([labels_B, drawn.labels_B])
        )
        real_B, generated_B = logits_of_both.float().chunk(2)
        return -self.discriminator_scale * (F.logsigmoid(real_B).mean() + F.logsigmoid(-generated_B).mean())

    def _generator_loss(self, drawn: Draw) -> Tensor:
        generator, discriminator = self.networks
        return -F.logsigmoid(discriminator(generator(*drawn).flatten(1), drawn.labels_B).float()).mean()


class _Report:
    """Says a few times a second how far the training is."""

    def __init__(self, context: SynthesisContext, *, steps: int, epochs: int) -> None:
        self._progress = context.progress
        self._steps = steps
        self._epochs = epochs
        self._done = 0
        self._losses = ""
        self._next_report = time.monotonic() + SECONDS_BETWEEN_REPORTS

    def step_finished(self, epoch: int) -> None:
        self._done += 1
        if time.monotonic() >= self._next_report:
            self._say(epoch)

    def epoch_finished(self, epoch: int, generator_loss: float, discriminator_loss: float) -> None:
        self._losses = f" generator loss {generator_loss:.3g} discriminator loss {discriminator_loss:.3g}"
        self._say(epoch)

    def _say(self, epoch: int) -> None:
        self._progress(self._done, self._steps * self._epochs, f"epoch {epoch + 1}/{self._epochs}{self._losses}")
        self._next_report = time.monotonic() + SECONDS_BETWEEN_REPORTS
