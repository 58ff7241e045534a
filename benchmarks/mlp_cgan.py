"""Training the conditional GAN of `mlp_cgan` on 28x28 grey images, as large as Fashion-MNIST's, beside a plain loop."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from benchmarks.report import Report, arguments, describe_machine, finish, rates_table
from benchmarks.timing import Contestant, synchronise, take_turns

if TYPE_CHECKING:
    from balancebench import LabelledImages
    from balancebench_cgan.options import MlpCganOptions

IMAGES = 60_000
PLAIN = "plain loop, {} workers"


def main() -> None:
    """Time the steps of one epoch, each of them one update of either network."""
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), nargs="+", default=["fp32"], help="of balancebench")
    parser.add_argument("--generator", default="mlp_leaky", help="the generator network")
    parser.add_argument("--steps", type=int, default=25, help="steps of an epoch, which is what a round takes")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="DataLoader workers of the plain loop")
    parser.add_argument("--threads", type=int, help="threads of arithmetic, for all; torch's own choice if unset")
    parser.add_argument("--data", type=Path, help="folder of Fashion-MNIST; uniform grey levels if unset")
    asked = parser.parse_args()

    import torch

    from balancebench_cgan.options import MlpCganOptions

    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    machine = describe_machine(asked.device)
    # The authors' program: its step has no more draws than ours, and the same networks.
    options = MlpCganOptions.model_validate({"generator": asked.generator, "variant": "code"})
    images = training_images(asked.data, asked.steps * options.batch_size)
    contestants = [
        *(plain(options, images, asked.device, workers) for workers in asked.workers),
        *(ours(options, images, asked.device, precision) for precision in asked.precision),
    ]
    timed = take_turns(contestants, rounds=asked.rounds, device=asked.device)
    title = f"mlp_cgan, generator {options.generator}, 28x28x1, batch {options.batch_size}"
    table, figures = rates_table(title, "steps/s", timed, [PLAIN.format(workers) for workers in asked.workers])
    settings = {
        "threads": torch.get_num_threads(),
        "images": "Fashion-MNIST" if asked.data else "uniform grey levels",
        "steps a round": asked.steps,
        "rounds": asked.rounds,
    }
    finish(Report("mlp_cgan", machine, settings, (table,), figures), as_json=asked.json)


def training_images(folder: Path | None, count: int) -> LabelledImages:
    """Return `count` images of Fashion-MNIST in `folder`, or of as many uniform grey levels as it has."""
    import numpy as np

    from benchmarks.training import synthetic_images

    if folder is None:
        images = synthetic_images(IMAGES, (1, 28, 28))
    else:
        from balancebench.builtin.datasets.components import DATASETS
        from balancebench.testing import load_context

        component = next(dataset for dataset in DATASETS if dataset.name == "fashion_mnist")
        with TemporaryDirectory() as scratch:
            dataset = component.create(component.options.model_validate({"root": folder, "download": False}))
            images = dataset.load(load_context(Path(scratch))).train
    return images.take(np.arange(count) % len(images))


def plain(options: MlpCganOptions, images: LabelledImages, device: str, workers: int) -> Contestant:
    """The loop as researchers write it: PIL images through transforms, a DataLoader, Adam, losses read every step."""
    import torch
    from torch import nn

    from balancebench.training.options import ChannelStatistics
    from balancebench_cgan.mlp_cgan import make_networks
    from benchmarks.plain import ImageDataset, make_loader, make_transform

    class PlainDiscriminator(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, options.embedding_size)
            widths = (784 + options.embedding_size, 1024, 512, 256)
            layers: list[nn.Module] = []
            for width_in, width_out in pairwise(widths):
                layers += [nn.Linear(width_in, width_out), nn.LeakyReLU(options.leak), nn.Dropout(options.dropout)]
            self.layers = nn.Sequential(*layers, nn.Linear(256, 1), nn.Sigmoid())

        def forward(self, images_NCHW: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
            joined = torch.cat([images_NCHW.reshape(-1, 784), self.embedding(labels_N)], dim=1)
            return self.layers(joined).view(-1)

    half = ChannelStatistics(mean=(0.5,), std=(0.5,))
    loader = make_loader(
        ImageDataset(images, make_transform("none", half, (28, 28))),
        options.batch_size,
        workers=workers,
        device=device,
    )
    generator = make_networks(options, (1, 28, 28), 10, torch.device(device)).generator
    discriminator = PlainDiscriminator().to(device)
    criterion = nn.BCELoss()
    generator_adam = torch.optim.Adam(generator.parameters(), lr=options.learning_rate)
    discriminator_adam = torch.optim.Adam(discriminator.parameters(), lr=options.learning_rate)

    def work() -> None:
        losses: list[tuple[float, float]] = []
        for real_NCHW, labels_N in loader:
            size = len(labels_N)
            real, labels = real_NCHW.to(device), labels_N.to(device)
            noise = torch.randn(size, options.latent_size).to(device)
            drawn = torch.randint(0, 10, (size,)).to(device)
            ones, zeros = torch.ones(size).to(device), torch.zeros(size).to(device)
            discriminator_adam.zero_grad()
            of_real = criterion(discriminator(real, labels), ones)
            of_generated = criterion(discriminator(generator(noise, drawn).detach(), drawn), zeros)
            discriminator_loss = (of_real + of_generated) / 2
            discriminator_loss.backward()
            discriminator_adam.step()
            generator_adam.zero_grad()
            generator_loss = criterion(discriminator(generator(noise, drawn), drawn), ones)
            generator_loss.backward()
            generator_adam.step()
            losses.append((generator_loss.item(), discriminator_loss.item()))

    return Contestant(PLAIN.format(workers), work, len(images) // options.batch_size)


def ours(
    options: MlpCganOptions, images: LabelledImages, device: str, precision: Literal["fp32", "bf16"]
) -> Contestant:
    """The balancer through `train_generator`: two epochs, of which the second counts.

    It oversamples classes of unequal sizes, so that an epoch may have more images than the loop's; they are set off.
    """
    from balancebench.testing import synthesis_context
    from balancebench_cgan.mlp_cgan import MlpCgan

    balancer = MlpCgan(options.model_copy(update={"epochs": 2}))

    def work() -> float:
        ends: list[float] = []
        seen: list[int] = []

        def count(epoch_images: int, _updates: int) -> None:
            synchronise(device)
            ends.append(time.perf_counter())
            seen.append(epoch_images)

        with TemporaryDirectory() as folder:
            context = synthesis_context(Path(folder), device=device, count=count)
            balancer.train_generator(images, replace(context, precision=precision))
        first, second = ends
        return (second - first) * len(images) / seen[-1]

    return Contestant(f"balancebench, {precision}", work, len(images) // options.batch_size)


if __name__ == "__main__":
    main()
