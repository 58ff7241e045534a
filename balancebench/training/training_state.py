"""The state of a training, saved while it goes on, so that another process ends bit for bit where it would have ended.

    FOLDER/state.safetensors     model.NAME: parameters and buffers; optimiser.PARAMETER.NAME: what the optimiser
                                 remembers of each parameter; random.NAME: the states of all generators; indices_SB and
                                 loss_sum of the epoch
    FOLDER/state.json            a `Position`

Axis suffixes: S steps of an epoch that are still to come, B images of a batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from balancebench.errors import ClassifierError
from balancebench.training.reproducibility import global_states, set_global_states
from balancebench.training.saved import write_tensors

__all__ = ["EpochState", "Position", "SavedState", "write_state"]


class Position(BaseModel):
    """Where in the plan a training is.

    phase: its index. epoch: within the phase, from 0. interruptions: the optimiser steps after which earlier attempts
    at this training had to be gone on from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: int
    epoch: int
    interruptions: tuple[int, ...] = ()


class EpochState(NamedTuple):
    """An epoch that has begun. indices_SB: the images of its batches to come. loss_sum: of its batches so far."""

    indices_SB: Tensor
    loss_sum: Tensor


def write_state(
    folder: Path,
    *,
    position: Position,
    epoch: EpochState,
    model: nn.Module,
    optimiser: Optimizer,
    generator: Generator,
) -> None:
    """Write the state of a training between two steps; raise OSError where the disk refuses.

    generator: the run's own, whose device is the model's.
    """
    remembered = {
        f"optimiser.{index}.{name}": tensor
        for index, parameter in enumerate(_parameters(optimiser))
        for name, tensor in optimiser.state.get(parameter, {}).items()
    }
    states = {"batches": generator.get_state(), **global_states(generator.device)}
    write_tensors(
        folder / "state.safetensors",
        {
            **_model_tensors(model),
            **remembered,
            **{f"random.{name}": state for name, state in states.items()},
            "indices_SB": epoch.indices_SB,
            "loss_sum": epoch.loss_sum,
        },
    )
    (folder / "state.json").write_text(position.model_dump_json(), encoding="utf-8")


class SavedState:
    """What `write_state` wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tensors = load_file(folder / "state.safetensors")
        self.position = Position.model_validate_json((folder / "state.json").read_bytes())

    def epoch(self, device: torch.device) -> EpochState:
        """Return the epoch that had begun."""
        return EpochState(
            indices_SB=self._tensors["indices_SB"].to(device, copy=True),
            loss_sum=self._tensors["loss_sum"].to(device, copy=True),
        )

    def put_back(self, model: nn.Module, optimiser: Optimizer, generator: Generator) -> None:
        """Overwrite model, optimiser and generators, torch's global ones included; order in memory stays as it is.

        Raises ClassifierError where the state is of another network.
        """
        own = _model_tensors(model)
        saved = {name: tensor for name, tensor in self._tensors.items() if name.startswith("model.")}
        if {name: tensor.shape for name, tensor in own.items()} != {n: tensor.shape for n, tensor in saved.items()}:
            raise ClassifierError(f"{self._folder} was saved by another network: delete it to train from the beginning")
        parameters = _parameters(optimiser)
        optimiser.state.clear()
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(saved[name])
            for name, tensor in self._tensors.items():
                if name.startswith("optimiser."):
                    _, index, remembered = name.split(".", 2)
                    parameter = parameters[int(index)]
                    optimiser.state[parameter][remembered] = _laid_out_as(parameter, tensor, optimiser)
        generator.set_state(self._tensors["random.batches"])
        set_global_states(
            generator.device,
            {
                name.removeprefix("random."): state
                for name, state in self._tensors.items()
                if name.startswith("random.")
            },
        )


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers, those that no state_dict has included."""
    return {f"model.{name}": tensor for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _laid_out_as(parameter: Tensor, remembered: Tensor, optimiser: Optimizer) -> Tensor:
    """Return what is remembered of a parameter where, and in the order in which, the optimiser keeps it.

    Fused kernels go through parameter and momentum side by side, whatever order their axes have in memory.
    """
    if remembered.shape == parameter.shape:
        return torch.empty_like(parameter).copy_(remembered)
    return remembered.to(parameter.device) if optimiser.defaults["fused"] else remembered  # Adam's count of steps
