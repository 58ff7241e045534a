"""What the training of any generator network needs around it: seeds, settings, pixels in -1..1, and its weights.

Axis suffixes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from balancebench.contracts import SynthesisContext
from balancebench.errors import BalancerError
from balancebench.training.reproducibility import backend_settings, explaining_determinism, run_seeds, seeded_globals

__all__ = ["from_unit_range", "load_weights", "save_weights", "seeded_run", "to_unit_range"]


@contextmanager
def seeded_run(context: SynthesisContext) -> Generator[torch.Generator]:
    """Yield the generator on the context's device that batches, noise and labels are drawn from.

    Inside, plain torch initialisation and dropout are seeded too, and torch's kernels are deterministic where the
    context asks for it; global states are put back at the end.

    Raises BalancerError where the context asks for deterministic kernels and the network needs one that there is not.
    """
    seeds, device = run_seeds(context.seed), torch.device(context.device)
    with (
        seeded_globals(seeds.network, device),
        backend_settings(deterministic=context.deterministic),
        explaining_determinism(BalancerError),
    ):
        yield torch.Generator(device=device).manual_seed(seeds.batches)


def to_unit_range(images_NCHW: Tensor) -> Tensor:
    """Return uint8 images as float32 in -1..1."""
    return images_NCHW.to(torch.float32).mul_(2 / 255).sub_(1)


def from_unit_range(images_NCHW: Tensor) -> Tensor:
    """Return float images in -1..1 as uint8, rounded to the nearest; values outside are clipped."""
    return images_NCHW.float().add(1).mul_(255 / 2).round_().clamp_(0, 255).to(torch.uint8)


def save_weights(artefacts: Path, name: str, module: nn.Module) -> None:
    """Write a module's state as artefacts/NAME.safetensors."""
    from safetensors.torch import save_file

    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    save_file(state, artefacts / f"{name}.safetensors")


def load_weights(artefacts: Path, name: str, module: nn.Module) -> None:
    """Read back into a module of the same layers what `save_weights` wrote."""
    from safetensors.torch import load_file

    module.load_state_dict(load_file(artefacts / f"{name}.safetensors"))
