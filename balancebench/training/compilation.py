"""Whether a training's network is compiled, with CUDA graphs: only where the run is long enough to pay it back.

Compiling takes about a minute, and saves a small network some milliseconds of launching kernels in each step. Where
results must repeat bit for bit nothing is compiled unasked: the compiler picks kernels by timing them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from traceback import walk_tb
from typing import Any, cast

import torch
from torch import Tensor, nn

from balancebench.config import Compilation
from balancebench.errors import BalancebenchError, ClassifierError
from balancebench.training.reproducibility import NO_DETERMINISTIC_FORM

__all__ = ["PAYS_FROM_STEPS", "compilation_reason", "compiled"]

# Not torch._dynamo, which stands between every compiled network and its caller.
COMPILERS = ("torch._inductor", "triton")
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

    Each call begins a new iteration of the graphs: what an earlier call returned must not be used any more.

    Raises ClassifierError where torch cannot compile it, or where what it compiled cannot run.
    """
    mode = "reduce-overhead" if device.type == "cuda" else None
    run_compiled = cast("Callable[[Tensor], Tensor]", torch.compile(network, mode=mode, dynamic=False))

    def next_iteration(images_NCHW: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        return run_compiled(images_NCHW)

    try:
        yield next_iteration
    except Exception as error:
        if not _is_of_the_compiler(error):
            raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ClassifierError(f"torch cannot compile the network ({reason[0]}): use --compile never") from error
    finally:
        _forget_compiled()


def _is_of_the_compiler(error: Exception) -> bool:
    """Whether compiling failed, or the capture or replay of what was compiled; want of memory is what it is."""
    from torch._dynamo.exc import TorchDynamoException

    if isinstance(error, torch.OutOfMemoryError | MemoryError | BalancebenchError) or NO_DETERMINISTIC_FORM in str(
        error
    ):
        return False
    if isinstance(error, TorchDynamoException):
        return True
    frames = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return any(str(name).startswith(COMPILERS) for name in frames)


def _forget_compiled() -> None:
    """Let go of graphs and their memory: a warm worker's next network is another one."""
    reset: Any = torch.compiler.reset
    reset()
