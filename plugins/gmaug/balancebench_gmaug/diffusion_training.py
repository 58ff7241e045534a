"""The training that all diffusion balancers share: batches, rate, moving average, curves, and where it left off.

    for each step:  x, y = a batch in -1..1 and its labels;  minimise loss(network, x, y, random) by Adam
                    average <- average + (1 - b)(weights - average),  b = 0.5^(batch / min(half-life, ramp * images))

An epoch ends where fewer images than a batch are left; these wait for another one. A checkpoint holds all that a step
depends on, so that an interrupted training ends with the same weights, bit for bit.

Axis suffixes: N images, B images of a batch, C channels, H rows, W columns, M images of an epoch still to come.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Generic, TypeVar, cast

import torch
from safetensors.torch import load_file
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from balancebench import BalancerError, LabelledImages, SynthesisContext
from balancebench.checkpoints import Checkpoints
from balancebench.synthesis.curves import Curves
from balancebench.synthesis.seeded_run import to_unit_range
from balancebench.training.compilation import compilation_reason, compiled
from balancebench.training.reproducibility import global_states, set_global_states
from balancebench.training.resident import ResidentImages
from balancebench.training.saved import write_tensors
from balancebench_gmaug.diffusion_network import memory_layout, padded, padded_size
from balancebench_gmaug.diffusion_options import Recipe

__all__ = ["Loss", "average_decay", "drop_labels", "train_network"]

NetworkT = TypeVar("NetworkT", bound=nn.Module)
Loss = Callable[[NetworkT, Tensor, Tensor, Generator], Tensor]
"""loss(network, images_BCHW in -1..1, labels_B, random) -> scalar; all it draws comes from `random`.

The network is the one that is trained, or it compiled.
"""

POINTS = 100  # of a curve, at most
SECONDS_BETWEEN_REPORTS = 0.5


def train_network(
    network: NetworkT,
    loss: Loss[NetworkT],
    train: LabelledImages,
    recipe: Recipe,
    context: SynthesisContext,
    random: Generator,
    *,
    divisor: int,
    mirror: bool,
    stage: str | None = None,
) -> None:
    """Train `network` on the images as they are in `train`; it then holds the moving average, in evaluation mode.

    divisor: images are padded to multiples of it. stage: the name of one of several trainings of a step; each keeps its
    end, so that a later one that is interrupted does not begin with the first again. Raises BalancerError where there
    are fewer images than a batch has, and where training diverges.
    """
    if len(train) < recipe.batch_size:
        raise BalancerError(
            f"{len(train)} training images are fewer than a batch of {recipe.batch_size}: set batch_size to "
            f"{max(1, len(train))} or less, or keep more images"
        )
    training = _Training(network, train, recipe, context, random, divisor=divisor, mirror=mirror, stage=stage)
    with ExitStack() as stack:
        called = network
        is_compiled, _ = compilation_reason(
            "auto", device=random.device, deterministic=context.deterministic, steps=recipe.steps
        )
        if is_compiled:
            called = cast("NetworkT", stack.enter_context(compiled(network, random.device)))
        training.run(called, loss)


def drop_labels(labels_B: Tensor, null_label: int, probability: float, random: Generator) -> Tensor:
    """Return the labels, each with this probability replaced by that of no class: a draw an image, not a batch."""
    is_dropped_B = torch.rand(len(labels_B), generator=random, device=labels_B.device) < probability
    return torch.where(is_dropped_B, null_label, labels_B)


def average_decay(recipe: Recipe, images: int) -> float:
    """Return how much of the moving average stays in a step that ends with so many images seen."""
    half_life = recipe.ema_images
    if recipe.ema_ramp is not None:
        half_life = min(half_life, recipe.ema_ramp * images)
    return 0.5 ** (recipe.batch_size / half_life)


class _Training(Generic[NetworkT]):
    def __init__(
        self,
        network: NetworkT,
        train: LabelledImages,
        recipe: Recipe,
        context: SynthesisContext,
        random: Generator,
        *,
        divisor: int,
        mirror: bool,
        stage: str | None,
    ) -> None:
        device = random.device
        self._network = network.to(device).to(memory_format=memory_layout(device))  # pyright: ignore[reportCallIssue]
        self._parameters: list[Tensor] = list(network.parameters())
        self._average = [parameter.detach().clone() for parameter in self._parameters]
        self._is_fused = device.type != "mps"
        self._adam = torch.optim.Adam(self._parameters, recipe.learning_rate, fused=self._is_fused)
        self._images = ResidentImages.upload(train, device)
        _, _, rows, columns = train.images_NCHW.shape
        self._size = padded_size((rows, columns), divisor)
        self._mirror = mirror
        self._recipe = recipe
        self._context = context
        self._random = random
        self._stage = stage
        self._checkpoints = context.checkpoints
        if stage is not None:
            own = context.checkpoints.folder / stage
            own.mkdir(exist_ok=True)
            self._checkpoints = Checkpoints(folder=own, seconds=context.checkpoints.seconds)
        self._curves = Curves(context.artefacts, "curves" if stage is None else f"curves_{stage}")
        self._rows: list[dict[str, float]] = []
        self._done = 0
        self._to_come_M = torch.empty(0, dtype=torch.int64, device=device)
        self._loss_sum = torch.zeros((), device=device)
        self._since_row = 0

    def run(self, network: NetworkT, loss: Loss[NetworkT]) -> None:
        """Take the steps that are missing; leave the average in the network."""
        recipe, context = self._recipe, self._context
        state = self._checkpoints.latest()
        if state is not None:
            self._go_on_from(state)
            context.count(self._done * recipe.batch_size, self._done)
        steps_a_row = -(-recipe.steps // POINTS)
        next_report = time.monotonic() + SECONDS_BETWEEN_REPORTS
        while self._done < recipe.steps:
            self._step(network, loss)
            context.count(recipe.batch_size, 1)
            if self._since_row == steps_a_row or self._done == recipe.steps:
                self._end_row()  # here alone the training waits for the device
            if time.monotonic() >= next_report:
                said = f", loss {self._rows[-1]['loss']:.3g}" if self._rows else ""
                title = "" if self._stage is None else f"{self._stage}: "
                context.progress(self._done, recipe.steps, f"{title}step {self._done}/{recipe.steps}{said}")
                next_report = time.monotonic() + SECONDS_BETWEEN_REPORTS
            is_over = self._done == recipe.steps
            if (self._stage is not None) if is_over else self._checkpoints.due():
                self._checkpoints.save(self._write)
        with torch.no_grad():
            for parameter, average in zip(self._parameters, self._average, strict=True):
                parameter.copy_(average)
        self._network.eval()

    def _step(self, network: NetworkT, loss: Loss[NetworkT]) -> None:
        recipe = self._recipe
        images = (self._done + 1) * recipe.batch_size
        indices_B = self._next_indices()
        images_BCHW = padded(to_unit_range(self._images.select(indices_B)), self._size)
        if self._mirror:
            is_mirrored_B = torch.rand(len(indices_B), generator=self._random, device=self._random.device) < 0.5
            images_BCHW = torch.where(is_mirrored_B[:, None, None, None], images_BCHW.flip(3), images_BCHW)
        value = loss(network, images_BCHW, self._images.labels_N.index_select(0, indices_B), self._random)
        self._adam.zero_grad(set_to_none=True)
        value.backward()
        if recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, recipe.clip, foreach=True)
        self._adam.param_groups[0]["lr"] = recipe.learning_rate * min(1.0, images / max(1, recipe.ramp_images))
        self._adam.step()
        get_ema_multi_avg_fn(average_decay(recipe, images))(self._average, self._parameters, None)
        self._loss_sum += value.detach()
        self._done += 1
        self._since_row += 1

    def _next_indices(self) -> Tensor:
        """Return the images of the next batch, of an order that begins anew where too few are left."""
        if len(self._to_come_M) < self._recipe.batch_size:
            device = self._random.device
            self._to_come_M = torch.randperm(len(self._images), generator=self._random, device=device)
        indices_B, self._to_come_M = self._to_come_M.tensor_split([self._recipe.batch_size])
        return indices_B

    def _end_row(self) -> None:
        self._add_row({"epoch": len(self._rows), "loss": self._loss_sum.item() / self._since_row})
        self._loss_sum.zero_()
        self._since_row = 0

    def _add_row(self, row: dict[str, float]) -> None:
        self._curves.add(int(row["epoch"]), loss=row["loss"])
        self._rows.append(row)

    def _write(self, folder: Path) -> None:
        states = {"batches": self._random.get_state(), **global_states(self._random.device)}
        remembered = {
            f"adam.{index}.{name}": tensor
            for index, parameter in enumerate(self._parameters)
            for name, tensor in self._adam.state[parameter].items()
        }
        write_tensors(
            folder / "state.safetensors",
            {
                **{f"weight.{index}": tensor for index, tensor in enumerate(self._parameters)},
                **{f"average.{index}": tensor for index, tensor in enumerate(self._average)},
                **remembered,
                **{f"random.{name}": state for name, state in states.items()},
                "to_come_M": self._to_come_M,
                "loss_sum": self._loss_sum,
            },
        )
        position = {"done": self._done, "since_row": self._since_row, "rows": self._rows}
        (folder / "state.json").write_text(json.dumps(position), encoding="utf-8")

    def _go_on_from(self, folder: Path) -> None:
        tensors, device = load_file(folder / "state.safetensors"), self._random.device
        position = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        with torch.no_grad():
            for index, (parameter, average) in enumerate(zip(self._parameters, self._average, strict=True)):
                parameter.copy_(tensors[f"weight.{index}"])
                average.copy_(tensors[f"average.{index}"])
                for name in ("step", "exp_avg", "exp_avg_sq"):
                    saved = tensors[f"adam.{index}.{name}"]
                    if name == "step":  # fused kernels count on the device, others on the CPU
                        self._adam.state[parameter][name] = saved.to(device) if self._is_fused else saved
                    else:  # fused kernels go through weight and memory side by side: in one order of axes
                        self._adam.state[parameter][name] = torch.empty_like(parameter).copy_(saved)
        self._to_come_M = tensors["to_come_M"].to(device)
        self._loss_sum = tensors["loss_sum"].to(device)
        self._done, self._since_row = position["done"], position["since_row"]
        for row in position["rows"]:
            self._add_row(row)
        self._random.set_state(tensors["random.batches"])
        states = {name.removeprefix("random."): state for name, state in tensors.items() if name.startswith("random.")}
        set_global_states(device, states)
