"""Training `transitional_cgan` on 28x28 grey images beside a plain loop of the same recipe and networks.

The plain loop is StyleGAN2 as it is usually written in PyTorch: weights of each image's own in a grouped convolution,
real and made images through the discriminator one after the other, PIL images through a DataLoader, losses read at
every step, float32.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.report import Report, arguments, describe_machine, finish, rates_table
from benchmarks.timing import Contestant, synchronise, take_turns

if TYPE_CHECKING:
    import torch

    from balancebench import LabelledImages
    from balancebench_gmaug.stylegan2 import Generator
    from balancebench_gmaug.transitional_cgan_options import TransitionalCganOptions

PLAIN = "plain loop, {} workers"
SIDE = 32


def main() -> None:
    """Time steps of both networks after the transition, penalties included."""
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--preset", choices=("cifar", "auto", "small", "micro"), default="small")
    parser.add_argument("--augmentation", choices=("diff_augment", "none"), default="diff_augment")
    parser.add_argument("--steps", type=int, default=16, help="batches of a round; every 16th has the penalty R1")
    parser.add_argument("--workers", type=int, nargs="+", default=[0], help="DataLoader workers of the plain loop")
    parser.add_argument("--threads", type=int, default=1, help="threads of arithmetic, for all")
    asked = parser.parse_args()

    import torch

    from balancebench_gmaug.transitional_cgan_options import TransitionalCganOptions, recipe_of
    from benchmarks.training import synthetic_images

    torch.set_num_threads(asked.threads)
    machine = describe_machine(asked.device)
    options = TransitionalCganOptions.model_validate(
        {
            "preset": asked.preset,
            "augmentation": asked.augmentation,
            "transition_start_kimg": 0,
            "transition_end_kimg": 1e-6,
            "checkpoint": "last",
        }
    )
    batch_size = recipe_of(options, SIDE).batch_size
    images = synthetic_images(asked.steps * batch_size, (1, 28, 28))
    contestants = [
        *(plain(options, images, asked.device, workers) for workers in asked.workers),
        *(ours(options, images, asked.device, precision, asked.steps) for precision in asked.precision),
    ]
    timed = take_turns(contestants, rounds=asked.rounds, device=asked.device)
    title = f"transitional_cgan, preset {options.preset}, {options.augmentation}, 28x28x1, batch {batch_size}"
    table, figures = rates_table(title, "images/s", timed, [PLAIN.format(workers) for workers in asked.workers])
    settings = {"threads": torch.get_num_threads(), "batches a round": asked.steps, "rounds": asked.rounds}
    finish(Report("transitional_cgan", machine, settings, (table,), figures), as_json=asked.json)


def plain_convolution(
    layer: Any, images_BIHW: torch.Tensor, latents_BD: torch.Tensor, noise_B1HW: torch.Tensor | None
) -> torch.Tensor:
    """Return what `ModulatedConv` returns, by a grouped convolution with weights of each image's own."""
    import torch.nn.functional as F

    from balancebench_gmaug.stylegan2_layers import blurred

    batch, inputs, height, width = images_BIHW.shape
    style_BI = layer.style(latents_BD)
    weight = layer.weight_OIHW / math.sqrt(9 * inputs) * style_BI[:, None, :, None, None]
    weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    outputs = weight.shape[1]
    side_by_side = images_BIHW.reshape(1, batch * inputs, height, width)
    if layer.doubles:
        kernels = weight.transpose(1, 2).reshape(batch * inputs, outputs, 3, 3)
        result = F.conv_transpose2d(side_by_side, kernels, stride=2, groups=batch)
        result = blurred(result.view(batch, outputs, *result.shape[2:]), padding=1, gain=4.0)
    else:
        result = F.conv2d(side_by_side, weight.reshape(batch * outputs, inputs, 3, 3), padding=1, groups=batch)
        result = result.view(batch, outputs, height, width)
    if noise_B1HW is not None and layer.noise_strength is not None:
        result = result + noise_B1HW * layer.noise_strength
    return F.leaky_relu(result + layer.bias_O[:, None, None], 0.2) * math.sqrt(2)


def plain_generator(generator: Generator) -> Generator:
    """Return the generator with `plain_convolution` in the place of its own."""
    from functools import partial

    for layer in generator.synthesis.convolutions:
        layer.forward = partial(plain_convolution, layer)
    return generator


def plain_adam(network: torch.nn.Module, share: float) -> torch.optim.Adam:
    """Return Adam with the settings of lazy penalties, as torch makes it when asked for nothing else."""
    import torch

    return torch.optim.Adam(network.parameters(), lr=0.0025 * share, betas=(0.0, 0.99**share), eps=1e-8)


def plain_penalty(logit_B: torch.Tensor, real: torch.Tensor, gamma: float, adam: torch.optim.Adam) -> None:
    """Take a step of R1, for 16 batches at once."""
    import torch

    (gradient,) = torch.autograd.grad(logit_B.sum(), real, create_graph=True)
    penalty = gradient.square().sum(dim=(1, 2, 3)).mean() * (gamma / 2 * 16)
    adam.zero_grad()
    penalty.backward()
    adam.step()


def follow(averaged: Generator, generator: Generator) -> None:
    """Let the average follow, one parameter after the other."""
    import torch

    with torch.no_grad():
        for average, parameter in zip(averaged.parameters(), generator.parameters(), strict=True):
            average.copy_(torch.lerp(parameter, average, 0.998))


def plain(options: TransitionalCganOptions, images: LabelledImages, device: str, workers: int) -> Contestant:
    """The loop as researchers write it; a round is an epoch over `images`."""
    import copy

    import torch
    import torch.nn.functional as F
    from torchvision import transforms

    from balancebench_gmaug.diff_augment import diff_augmented
    from balancebench_gmaug.stylegan2 import Discriminator, Generator, Shape
    from balancebench_gmaug.transitional_cgan_options import recipe_of
    from benchmarks.plain import ImageDataset, make_loader

    recipe = recipe_of(options, SIDE)
    shape = Shape(side=SIDE, channels=1, class_count=images.class_count)
    steps = [transforms.Pad(2, padding_mode="edge"), transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]
    dataset = ImageDataset(images, transforms.Compose(steps))
    loader = make_loader(dataset, recipe.batch_size, workers=workers, device=device)
    generator = plain_generator(Generator(recipe, shape, options.conditioning).to(device))
    discriminator = Discriminator(recipe, shape).to(device)
    averaged = copy.deepcopy(generator)
    generator_adam, discriminator_adam = plain_adam(generator, 4 / 5), plain_adam(discriminator, 16 / 17)
    random = torch.Generator(device=device).manual_seed(0)
    one = torch.ones((), device=device)
    labels_N = torch.from_numpy(images.labels_N).to(device)

    def changed(images_BCHW: torch.Tensor) -> torch.Tensor:
        return diff_augmented(images_BCHW, random) if options.augmentation == "diff_augment" else images_BCHW

    def make(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels_B = labels_N[torch.randint(len(labels_N), (count,), device=device)]
        noise_BD = torch.randn(count, recipe.latent_size, device=device)
        w_BLD = generator.latents(noise_BD, labels_B, one)
        return generator.synthesis(w_BLD, generator.noise(count, random)).images_BCHW, labels_B

    def work() -> None:
        losses: list[tuple[float, float]] = []
        for batch, (real_BCHW, own_labels_B) in enumerate(loader):
            real, labels_B = real_BCHW.to(device), own_labels_B.to(device)
            count = len(real)

            generated, asked_B = make(count)
            of_made = discriminator(changed(generated), asked_B)
            generator_loss = F.softplus(-of_made.u_B).mean() + F.softplus(-of_made.q_B).mean()
            generator_adam.zero_grad()
            generator_loss.backward()
            generator_adam.step()

            generated, asked_B = make(count)
            of_made = discriminator(changed(generated.detach()), asked_B)
            of_real = discriminator(changed(real), labels_B)
            discriminator_loss = F.softplus(of_made.u_B).mean() + F.softplus(-of_real.u_B).mean()
            discriminator_loss = discriminator_loss + F.softplus(of_made.q_B).mean() + F.softplus(-of_real.q_B).mean()
            discriminator_adam.zero_grad()
            discriminator_loss.backward()
            discriminator_adam.step()
            if batch % 16 == 0:
                real.requires_grad_()
                logit_B = discriminator(changed(real), labels_B).u_B
                plain_penalty(logit_B, real, recipe.gamma, discriminator_adam)
            follow(averaged, generator)
            losses.append((generator_loss.item(), discriminator_loss.item()))

    return Contestant(PLAIN.format(workers), work, len(images))


def ours(
    options: TransitionalCganOptions,
    images: LabelledImages,
    device: str,
    precision: Literal["fp32", "bf16"],
    steps: int,
) -> Contestant:
    """The balancer through `train_generator`: twice as many batches, of which the second half counts."""
    from balancebench.testing import synthesis_context
    from balancebench_gmaug.transitional_cgan import TransitionalCgan

    balancer = TransitionalCgan(options.model_copy(update={"kimg": 2 * len(images) / 1000}))

    def work() -> float:
        ends: list[float] = []
        batches = 0

        def count(batch_images: int, _updates: int) -> None:
            nonlocal batches
            batches += batch_images > 0
            if batch_images > 0 and batches % steps == 0:
                synchronise(device)
                ends.append(time.perf_counter())

        with TemporaryDirectory() as folder:
            context = synthesis_context(Path(folder), device=device, count=count)
            balancer.train_generator(images, replace(context, precision=precision, deterministic=False))
        first, second = ends
        return second - first

    return Contestant(f"balancebench, {precision}", work, len(images))


if __name__ == "__main__":
    main()
