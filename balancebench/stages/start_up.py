"""What a process does once before it can work: imports, and waking the device. No step's time includes it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

from balancebench.component import Kind
from balancebench.registry import Registry
from balancebench.stage import STAGES
from balancebench.stages.memory import uses_gpu
from balancebench.step import ComponentReference, Step

__all__ = ["start_up", "still_computes"]

_WOKEN: set[str] = set()  # devices on which this process has computed


def start_up(step: Step, registry: Registry, device: str) -> float:
    """Import what the step will need, and let the device compute something; return the seconds that took.

    What cannot be imported, and a device that does not wake, are left to the step, whose record says so.
    """
    start = time.monotonic()
    import_module(STAGES[step.stage].run.partition(":")[0])
    for kind, reference in _built_in(step):
        with suppress(Exception):
            import_module(registry.find(kind, reference.component).component.build.partition(":")[0])
    if STAGES[step.stage].uses_device and device not in _WOKEN:
        with suppress(Exception):  # a GPU may be full of its neighbours' work: then the step runs out of memory
            _wake(device)
            _WOKEN.add(device)
    return time.monotonic() - start


def still_computes(device: str) -> bool:
    """Say whether a device on which a step failed goes on: after some errors CUDA refuses all work of a process."""
    if not uses_gpu(device):
        return True
    import torch

    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return False
    return True


def _wake(device: str) -> None:
    """Compute a small convolution, with its gradient: the first one loads libraries and starts threads.

    It also imports torch before any step, whose global generator would otherwise begin with a seed of chance.
    """
    import torch

    if device.startswith("cuda:"):
        torch.cuda.set_device(device)  # what names no device would start CUDA on the first GPU, too
    images_NCHW = torch.ones(2, 3, 8, 8, device=device)
    convolution = torch.nn.functional.conv2d(images_NCHW, torch.ones(4, 3, 3, 3, device=device, requires_grad=True))
    convolution.sum().backward()


def _built_in(step: Step) -> Iterator[tuple[Kind, ComponentReference]]:
    own_kind = STAGES[step.stage].kind
    for role, reference in {**step.components, **step.restored}.items():
        kind: Kind | None = "classifier" if role in ("classifier", "extractor") else own_kind or "balancer"
        level: ComponentReference | None = reference
        while level is not None:
            yield kind, level
            level = level.base
    for reference in step.metrics.values():
        yield "metric", reference
