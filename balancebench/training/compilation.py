"""Whether a training's network is compiled, with CUDA graphs: only where the run is long enough to pay it back.

Compiling takes about a minute, and saves a small network some milliseconds of launching kernels in each step. Where
results must repeat bit for bit nothing is compiled unasked: the compiler picks kernels by timing them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn

from balancebench.config import Compilation
from balancebench.errors import ClassifierError

__all__ = ["PAYS_FROM_STEPS", "compilation_reason", "compiled"]

PAYS_FROM_STEPS = 20_000  # a minute at 3 ms a step


def compilation_reason(wish: Compilation, *, device: torch.device, deterministic: bool, steps: int) -> tuple[bool, str]:
    """Return whether a training of so many optimiser steps is compiled, and why, as its record says it."""
    if wish != "auto":
        return wish == "always", f"asked for: {wish}"
    if device.type != "cuda":
        return False, f"does not pay on {device.type}"
    if deterministic:
        return False, "the suite asks for repeatable kernels"
    if steps < PAYS_FROM_STEPS:
        return False, f"{steps} steps are too few, {PAYS_FROM_STEPS} pay"
    if find_spec("triton") is None:
        return False, "triton is not installed"
    return True, f"{steps} steps pay"


@contextmanager
def compiled(network: nn.Module, device: torch.device) -> Generator[Callable[[Tensor], Tensor]]:
    """Give `network` compiled, sharing its weights and modes; on CUDA its kernels are launched as graphs.

    Raises ClassifierError where torch cannot compile it.
    """
    from torch._dynamo.exc import TorchDynamoException

    mode = "reduce-overhead" if device.type == "cuda" else None
    try:
        yield cast("Callable[[Tensor], Tensor]", torch.compile(network, mode=mode, dynamic=False))
    except TorchDynamoException as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ClassifierError(f"torch cannot compile the network ({reason[0]}): use --compile never") from error
    finally:
        _forget_compiled()


def _forget_compiled() -> None:
    """Let go of graphs and their memory: a warm worker's next network is another one."""
    reset: Any = torch.compiler.reset
    reset()
