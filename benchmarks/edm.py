"""Training and sampling the diffusion model of `edm` on 28x28 grey images beside a plain loop of the public recipe."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from benchmarks.report import Report, arguments, describe_machine, finish, rates_table
from benchmarks.timing import Contestant, synchronise, take_turns

if TYPE_CHECKING:
    import torch

    from balancebench import LabelledImages
    from balancebench_gmaug.diffusion_network import LabelledUNet
    from balancebench_gmaug.edm_options import EdmOptions

SHAPE = (1, 28, 28)
CLASSES = 10
DEVIATION = 0.5
PLAIN = "plain loop, {} workers"
PLAIN_SAMPLER = "plain loop"
PLAIN_BATCH = 64


def main() -> None:
    """Time the steps of a training, and images drawn with guidance."""
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--precision", choices=("fp32", "bf16"), nargs="+", default=["fp32"], help="of balancebench")
    parser.add_argument("--preset", default="tiny", choices=("micro", "tiny", "small", "paper"), help="the network")
    parser.add_argument("--batch-size", type=int, default=64, help="images of a step")
    parser.add_argument("--steps", type=int, default=5, help="steps of a round")
    parser.add_argument("--draws", type=int, default=20, help="images drawn in a round, of all classes in turn")
    parser.add_argument("--sampler-steps", type=int, default=4, help="noise levels of a drawn image")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="DataLoader workers of the plain loop")
    parser.add_argument("--threads", type=int, help="threads of arithmetic, for all; torch's own choice if unset")
    asked = parser.parse_args()

    import torch

    from balancebench_gmaug.edm_options import EdmOptions
    from benchmarks.training import synthetic_images

    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    machine = describe_machine(asked.device)
    options = EdmOptions.model_validate(
        {
            "preset": asked.preset,
            "batch_size": asked.batch_size,
            "steps": asked.steps,
            "sampler_steps": asked.sampler_steps,
            "sigma_data": DEVIATION,
        }
    )
    images = synthetic_images(asked.steps * asked.batch_size, SHAPE)
    trained = take_turns(
        [
            *(plain_training(options, images, asked.device, workers) for workers in asked.workers),
            *(our_training(options, images, asked.device, precision) for precision in asked.precision),
        ],
        rounds=asked.rounds,
        device=asked.device,
    )
    drawn = take_turns(
        [
            plain_drawing(options, asked.draws, asked.device),
            *(our_drawing(options, asked.draws, asked.device, precision) for precision in asked.precision),
        ],
        rounds=asked.rounds,
        device=asked.device,
    )
    title = f"edm, preset {asked.preset}, 28x28x1"
    training, figures = rates_table(
        f"{title}, batch {asked.batch_size}", "images/s", trained, [PLAIN.format(workers) for workers in asked.workers]
    )
    drawing, more = rates_table(f"{title}, drawn with guidance", "images/s", drawn, [PLAIN_SAMPLER])
    settings = {
        "threads": torch.get_num_threads(),
        "steps a round": asked.steps,
        "noise levels": asked.sampler_steps,
        "rounds": asked.rounds,
    }
    finish(Report("edm", machine, settings, (training, drawing), {**figures, **more}), as_json=asked.json)


def new_network(options: EdmOptions, device: str) -> LabelledUNet:
    """Return the network that both sides train."""
    import torch

    from balancebench_gmaug.diffusion_network import LabelledUNet
    from balancebench_gmaug.diffusion_options import shape_of

    torch.manual_seed(0)
    _, rows, columns = SHAPE
    return LabelledUNet(shape_of(options.preset, rows, columns), SHAPE[0], CLASSES).to(device)


def plain_denoiser(network: LabelledUNet, noisy: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor):
    """The preconditioned network, as the paper's table has it."""
    c_skip = DEVIATION**2 / (sigma**2 + DEVIATION**2)
    c_out = sigma * DEVIATION / (sigma**2 + DEVIATION**2).sqrt()
    c_in = 1 / (DEVIATION**2 + sigma**2).sqrt()
    return c_skip * noisy + c_out * network(c_in * noisy, sigma.log().flatten() / 4, labels)


def plain_training(options: EdmOptions, images: LabelledImages, device: str, workers: int) -> Contestant:
    """The loop as researchers write it: a DataLoader, Adam, averages one by one, losses read every step."""
    import torch

    from balancebench.training.options import ChannelStatistics
    from benchmarks.plain import ImageDataset, make_loader, make_transform

    half = ChannelStatistics(mean=(0.5,), std=(0.5,))
    loader = make_loader(
        ImageDataset(images, make_transform("none", half, SHAPE[1:])),
        options.recipe.batch_size,
        workers=workers,
        device=device,
    )
    network = new_network(options, device).train()
    average = copy.deepcopy(network).eval()
    adam = torch.optim.Adam(network.parameters(), lr=options.recipe.learning_rate)

    def work() -> None:
        losses: list[float] = []
        for real, of_class in loader:
            clean, labels = real.to(device), of_class.to(device)
            labels = torch.where(torch.rand(len(labels), device=device) < 0.1, CLASSES, labels)
            sigma = (torch.randn(len(clean), 1, 1, 1, device=device) * 1.2 - 1.2).exp()
            weight = (sigma**2 + DEVIATION**2) / (sigma * DEVIATION) ** 2
            adam.zero_grad()
            noisy = clean + torch.randn_like(clean) * sigma
            loss = (weight * (plain_denoiser(network, noisy, sigma, labels) - clean) ** 2).mean()
            loss.backward()
            adam.step()
            with torch.no_grad():
                for kept, new in zip(average.parameters(), network.parameters(), strict=True):
                    kept.copy_(new.lerp(kept, 0.999))
            losses.append(loss.item())

    return Contestant(PLAIN.format(workers), work, len(images))


def our_training(
    options: EdmOptions, images: LabelledImages, device: str, precision: Literal["fp32", "bf16"]
) -> Contestant:
    """The balancer through `train_generator`: twice the steps, of which the second half counts."""
    from balancebench.testing import synthesis_context
    from balancebench_gmaug.edm import Edm

    steps = options.recipe.steps
    balancer = Edm(options.model_copy(update={"steps": 2 * steps}))

    def work() -> float:
        ends: list[float] = []

        def count(_images: int, _steps: int) -> None:
            if len(ends) in (steps - 1, 2 * steps - 1):
                synchronise(device)
            ends.append(time.perf_counter())

        with TemporaryDirectory() as folder:
            context = synthesis_context(Path(folder), device=device, count=count)
            balancer.train_generator(images, replace(context, precision=precision, deterministic=device == "cpu"))
        return ends[-1] - ends[steps - 1]

    return Contestant(f"balancebench, {precision}", work, len(images))


def plain_drawing(options: EdmOptions, count: int, device: str) -> Contestant:
    """Heun's method as it is published, 64 images at a time, with and without the label one after the other."""
    import torch

    from balancebench_gmaug.edm import noise_levels

    network = new_network(options, device).eval()
    levels = torch.tensor(noise_levels(options.sampler_steps or 0), dtype=torch.float64, device=device)

    def denoise(state: torch.Tensor, sigma: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        at = sigma.float().expand(len(state)).view(-1, 1, 1, 1)
        with_label = plain_denoiser(network, state.float(), at, labels)
        without = plain_denoiser(network, state.float(), at, torch.full_like(labels, CLASSES))
        return (without + options.guidance * (with_label - without)).double()

    @torch.no_grad()
    def work() -> None:
        for labels in (torch.arange(count, device=device) % CLASSES).split(PLAIN_BATCH):
            state = torch.randn(len(labels), *SHAPE, dtype=torch.float64, device=device) * levels[0]
            for sigma, lower in pairwise(levels):
                slope = (state - denoise(state, sigma, labels)) / sigma
                euler = state + (lower - sigma) * slope
                if lower > 0:
                    there = (euler - denoise(euler, lower, labels)) / lower
                    euler = state + (lower - sigma) * (slope + there) / 2
                state = euler
            (state * 127.5 + 128).clip(0, 255).to(torch.uint8).cpu()

    return Contestant(PLAIN_SAMPLER, work, count)


def our_drawing(options: EdmOptions, count: int, device: str, precision: Literal["fp32", "bf16"]) -> Contestant:
    """The generator that is restored from a training, drawn from once."""
    import numpy as np
    import torch

    from balancebench_gmaug.diffusion_drawing import Learnt
    from balancebench_gmaug.edm import Edm

    with TemporaryDirectory() as folder:
        learnt = Learnt(
            image_shape=SHAPE,
            class_names=tuple(f"class {label}" for label in range(CLASSES)),
            precision=precision,
            pixel_deviation=DEVIATION,
        )
        learnt.save(Path(folder), new_network(options, "cpu"))
        generator = Edm(options).restore_generator(Path(folder), device)
    labels_B = np.arange(count) % CLASSES

    def work() -> None:
        generator.draw(labels_B, torch.Generator(device=device).manual_seed(0))

    return Contestant(f"balancebench, {precision}", work, count)


if __name__ == "__main__":
    main()
