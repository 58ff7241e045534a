"""Seeds and settings of torch that hold for one training run and are put back after it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from balancebench.errors import BalancebenchError

# A module whose attributes are properties, which its types do not tell.
determinism: Any = torch.utils.deterministic

__all__ = [
    "NO_DETERMINISTIC_FORM",
    "RunSeeds",
    "backend_settings",
    "explaining_determinism",
    "global_states",
    "run_seeds",
    "seeded_globals",
    "set_global_states",
]

NO_DETERMINISTIC_FORM = " does not have a deterministic implementation"  # torch's words


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeeds:
    """Independent seeds of one run: of the network (initial weights, dropout), of batches (order, augmentation)."""

    network: int
    batches: int


def run_seeds(seed: int) -> RunSeeds:
    """Return the seeds of the run `seed` >= 0; those of different runs are independent."""
    network, batches = (int(word) >> 1 for word in np.random.SeedSequence(seed).generate_state(2, np.uint64))
    return RunSeeds(network=network, batches=batches)


@contextmanager
def seeded_globals(seed: int, device: torch.device) -> Generator[None]:
    """Seed the global generators that layers draw from, of the CPU and of `device`; put their states back at the end.

    torch.manual_seed would seed every device there is, and torch.random.fork_rng knows no mps.
    """
    states = global_states(device)
    try:
        torch.default_generator.manual_seed(seed)
        match device.type:
            case "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            case "mps":
                torch.mps.manual_seed(seed)
            case _:
                pass
        yield
    finally:
        set_global_states(device, states)


def global_states(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states of the global generators of the CPU and of `device`, uint8 on the CPU."""
    match device.type:
        case "cuda":
            return {"cpu": torch.get_rng_state(), "device": torch.cuda.get_rng_state(device)}
        case "mps":
            return {"cpu": torch.get_rng_state(), "device": torch.mps.get_rng_state()}
        case _:
            return {"cpu": torch.get_rng_state()}


def set_global_states(device: torch.device, states: Mapping[str, torch.Tensor]) -> None:
    """Put back what `global_states` returned."""
    torch.set_rng_state(states["cpu"])
    match device.type:
        case "cuda":
            torch.cuda.set_rng_state(states["device"], device)
        case "mps":
            torch.mps.set_rng_state(states["device"])
        case _:
            pass


@contextmanager
def backend_settings(*, deterministic: bool) -> Generator[None]:
    """Ask torch for deterministic kernels, or for the fastest ones; put the settings back at the end.

    An operation without a deterministic kernel is then an error. On CUDA the deterministic ones also need
    CUBLAS_WORKSPACE_CONFIG in the environment before CUDA starts.

    Float32 is float32 inside: no TF32, whose products keep 10 of 23 bits and which torch lets cuDNN use unasked. Who
    wants speed asks for bf16, and the record says so.
    """
    debug_mode = torch.get_deterministic_debug_mode()
    filling = determinism.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    tf32, products = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    try:
        torch.set_deterministic_debug_mode("error" if deterministic else "default")
        determinism.fill_uninitialized_memory = False  # a debugging aid that writes all memory twice
        torch.backends.cudnn.benchmark = not deterministic
        torch.backends.cudnn.allow_tf32 = False
        torch.set_float32_matmul_precision("highest")
        yield
    finally:
        torch.set_deterministic_debug_mode(debug_mode)
        determinism.fill_uninitialized_memory = filling
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cudnn.allow_tf32 = tf32
        torch.set_float32_matmul_precision(products)


@contextmanager
def explaining_determinism(kind: type[BalancebenchError]) -> Generator[None]:
    """Raise torch's error for an operation without a deterministic kernel as one that says what to do about it."""
    try:
        yield
    except RuntimeError as error:
        operation, separator, _ = str(error).partition(NO_DETERMINISTIC_FORM)
        if not separator:
            raise
        raise kind(
            f"the network needs {operation}, which has no deterministic form on this device: "
            "set deterministic = false in [run], or choose another network"
        ) from error
