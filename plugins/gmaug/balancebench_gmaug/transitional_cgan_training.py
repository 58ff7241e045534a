"""The training of `transitional_cgan`, from its first batch or from where an earlier attempt was saved.

All that the rest of a run depends on is in its checkpoint: networks, averages, optimisers, the random stream, the
order of the real images, the adaptive probability, the curves, and the best snapshot so far. So an interrupted run
ends bit for bit where it would have ended (on a processor, or with deterministic kernels).

Axis suffixes: N training images, B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Adam

from balancebench import BalancerError, SynthesisContext
from balancebench.synthesis.curves import Curves
from balancebench.synthesis.seeded_run import to_unit_range
from balancebench.training.resident import ResidentImages
from balancebench.training.saved import write_tensors
from balancebench_gmaug.stylegan2 import Discriminator, Generator, Shape
from balancebench_gmaug.transitional_cgan_drawing import made_images
from balancebench_gmaug.transitional_cgan_options import Recipe, TransitionalCganOptions
from balancebench_gmaug.transitional_cgan_snapshots import SnapshotJudge
from balancebench_gmaug.transitional_cgan_step import AdversarialStep, strength_at

__all__ = ["Snapshot", "Training"]

STATE, POSITION = "state.safetensors", "position.json"


class Snapshot(BaseModel):
    """The best snapshot so far. kimg: when it was taken. fid: None where nothing was compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kimg: float
    fid: float | None


class _Position(BaseModel):
    """Where a run is. batch: the next one. begin: of the next one in the order of images. rows: of the curves so far.

    without_gain: snapshots since the best one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int
    begin: int
    rows: list[dict[str, float]]
    best: Snapshot | None
    without_gain: int


class Training:
    """Trains on images that lie on the device, padded to the side that the networks work at."""

    def __init__(
        self,
        options: TransitionalCganOptions,
        recipe: Recipe,
        shape: Shape,
        images: ResidentImages,
        context: SynthesisContext,
        random: torch.Generator,
        judge: SnapshotJudge | None,
    ) -> None:
        self._options, self._recipe = options, recipe
        self._images, self._context, self._random = images, context, random
        self._judge = judge
        device = random.device
        self._step = AdversarialStep(
            options,
            recipe,
            Generator(recipe, shape, options.conditioning).to(device),
            Discriminator(recipe, shape, reads_low=options.conditioning == "utlo").to(device),
            self._ask,
            random,
            context.precision,
        )
        self._classes = images.labels_N.unique()
        self._batches = math.ceil(recipe.kimg * 1000 / recipe.batch_size)
        self._row_batches = max(1, round(recipe.snapshot_kimg * 1000 / recipe.batch_size))
        self._order_N = torch.empty(0, dtype=torch.int64, device=device)
        self._loss_sums_2 = torch.zeros(2, device=device)
        self._best_weights: dict[str, Tensor] = {}
        self._at = _Position(batch=0, begin=0, rows=[], best=None, without_gain=0)

    def run(self) -> tuple[Generator, Snapshot]:
        """Return the generator that `checkpoint` chooses, and which it is.

        Raises BalancerError where training diverges, or a checkpoint is of other networks.
        """
        context, batch_size = self._context, self._recipe.batch_size
        saved = context.checkpoints.latest()
        if saved is not None:
            self._restore(saved)
        curves = Curves(context.artefacts)
        for row, values in enumerate(self._at.rows):
            curves.add(row, **values)
        context.count(self._at.batch * batch_size, 2 * self._at.batch)
        while self._at.batch < self._batches and not self._gains_nothing():
            batch, begin, real_BCHW, labels_B = self._next_batch()
            self._loss_sums_2 += self._step(real_BCHW, labels_B, batch)
            context.count(batch_size, 2)  # each network has an optimiser
            self._at = self._at.model_copy(update={"batch": batch + 1, "begin": begin + batch_size})
            context.progress(batch + 1, self._batches, f"{(batch + 1) * batch_size / 1000:.1f} kimg{self._latest()}")
            if (batch + 1) % self._row_batches == 0 or batch + 1 == self._batches:
                self._end_row(curves)
            if context.checkpoints.due():
                context.checkpoints.save(self._write)
        return self._chosen()

    def _next_batch(self) -> tuple[int, int, Tensor, Tensor]:
        """Return its number, where it begins in the order, real images in -1..1 and their labels.

        Every image comes once before any comes again; what is left of an order that a batch does not fill is left out.
        """
        size, begin = self._recipe.batch_size, self._at.begin
        if begin + size > len(self._order_N):
            self._order_N = torch.randperm(len(self._images), generator=self._random, device=self._random.device)
            begin = 0
        index_B = self._order_N[begin : begin + size]
        real_BCHW = to_unit_range(self._images.select(index_B))
        if self._options.mirror:
            mirrors_B = torch.rand(size, generator=self._random, device=self._random.device) < 0.5
            real_BCHW = torch.where(mirrors_B[:, None, None, None], real_BCHW.flip(3), real_BCHW)
        return self._at.batch, begin, real_BCHW, self._images.labels_N.index_select(0, index_B)

    def _ask(self, count: int) -> Tensor:
        """Return labels_B that the generator is asked for."""
        candidates = self._images.labels_N if self._options.asked_labels == "data" else self._classes
        chosen_B = torch.randint(len(candidates), (count,), generator=self._random, device=self._random.device)
        return candidates.index_select(0, chosen_B)

    def _end_row(self, curves: Curves) -> None:
        """Add a row to the curves; judge the snapshot, once labels count in full."""
        at, images = self._at, self._at.batch * self._recipe.batch_size
        row = len(at.rows)
        batches = at.batch - row * self._row_batches
        generator_loss, discriminator_loss = (self._loss_sums_2 / batches).tolist()  # here alone the run waits
        self._loss_sums_2 = torch.zeros_like(self._loss_sums_2)
        values = {"generator_loss": generator_loss, "discriminator_loss": discriminator_loss}
        strength = strength_at(images, self._recipe)
        if self._options.conditioning == "transitional":
            values["label_strength"] = strength
        if self._step.adaptive is not None:
            values["augmentation_probability"] = self._step.adaptive.p.item()
        best, without_gain = at.best, at.without_gain
        if self._judge is not None and (self._options.conditioning != "transitional" or strength == 1):
            fid = values["fid"] = self._judge.distance(self._make)
            if best is None or best.fid is None or fid < best.fid:
                best, without_gain = Snapshot(kimg=images / 1000, fid=fid), 0
                self._best_weights = {name: value.clone() for name, value in self._step.averaged.state_dict().items()}
            else:
                without_gain += 1
        curves.add(row, **values)
        self._at = at.model_copy(update={"rows": [*at.rows, values], "best": best, "without_gain": without_gain})

    def _make(self, labels_B: Tensor, random: torch.Generator) -> Tensor:
        return made_images(self._step.averaged, labels_B, random)

    def _gains_nothing(self) -> bool:
        return 0 < self._options.patience <= self._at.without_gain

    def _chosen(self) -> tuple[Generator, Snapshot]:
        averaged, best = self._step.averaged, self._at.best
        if best is None:
            return averaged, Snapshot(kimg=self._at.batch * self._recipe.batch_size / 1000, fid=None)
        averaged.load_state_dict(self._best_weights)
        return averaged, best

    def _latest(self) -> str:
        if not self._at.rows:
            return ""
        return "".join(f", {name.replace('_', ' ')} {value:.3g}" for name, value in self._at.rows[-1].items())

    def _parts(self) -> dict[str, nn.Module]:
        step = self._step
        return {"generator": step.generator, "discriminator": step.discriminator, "averaged": step.averaged}

    def _adams(self) -> dict[str, Adam]:
        return {"generator_adam": self._step.generator_adam, "discriminator_adam": self._step.discriminator_adam}

    def _write(self, folder: Path) -> None:
        """Write the state between two batches."""
        tensors = {
            "order_N": self._order_N,
            "loss_sums_2": self._loss_sums_2,
            "path_length_mean": self._step.path_length_mean,
            "random": self._random.get_state(),
        }
        if self._step.adaptive is not None:
            tensors |= {"p": self._step.adaptive.p, "sign_sum": self._step.adaptive.sign_sum}
        states: dict[str, Mapping[str, Tensor]] = {name: part.state_dict() for name, part in self._parts().items()}
        states["best"] = self._best_weights
        for name, adam in self._adams().items():
            remembered: dict[int, dict[str, Tensor]] = adam.state_dict()["state"]
            states[name] = {f"{index}.{key}": value for index, of in remembered.items() for key, value in of.items()}
        tensors |= {f"{part}/{name}": value for part, state in states.items() for name, value in state.items()}
        write_tensors(folder / STATE, tensors)
        (folder / POSITION).write_text(self._at.model_dump_json(), encoding="utf-8")

    def _restore(self, folder: Path) -> None:
        """Go back to what `_write` wrote."""
        tensors = {name: value.to(self._random.device) for name, value in load_file(folder / STATE).items()}
        states: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, slash, rest = name.partition("/")
            if slash:
                states.setdefault(part, {})[rest] = value
        try:
            for name, part in self._parts().items():
                part.load_state_dict(states[name])
        except (KeyError, RuntimeError) as error:
            raise BalancerError(
                f"the checkpoint {folder} is of other networks: delete it to train from the beginning"
            ) from error
        for name, adam in self._adams().items():
            remembered: dict[int, dict[str, Tensor]] = {}
            for key, value in states.get(name, {}).items():
                index, _, kind = key.partition(".")
                remembered.setdefault(int(index), {})[kind] = value
            adam.load_state_dict({"state": remembered, "param_groups": adam.state_dict()["param_groups"]})
        self._best_weights = states.get("best", {})
        self._order_N, self._loss_sums_2 = tensors["order_N"], tensors["loss_sums_2"]
        self._step.path_length_mean = tensors["path_length_mean"]
        if self._step.adaptive is not None:
            self._step.adaptive.p, self._step.adaptive.sign_sum = tensors["p"], tensors["sign_sum"]
        self._random.set_state(tensors["random"].cpu())
        self._at = _Position.model_validate(json.loads((folder / POSITION).read_text(encoding="utf-8")))
