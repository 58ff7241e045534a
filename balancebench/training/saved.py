"""A trained model in a folder: its weights as safetensors, what it is made of as JSON.

    FOLDER/model.safetensors     the state of the network, and the normaliser's scale and shift
    FOLDER/model.json            a `Description`

The network itself is not written: the classifier that trained it builds it again from its options.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from balancebench.errors import ClassifierError

__all__ = ["Description", "read_saved", "write_saved", "write_tensors"]


class Description(BaseModel):
    """What has to be known to build the network again and to predict as it did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int
    image_size: tuple[int, int]
    class_count: int
    head: Literal["linear", "cosine"]
    precision: Literal["fp32", "bf16"]
    deterministic: bool


def write_saved(folder: Path, description: Description, tensors: dict[str, Tensor]) -> None:
    """Write both files into an existing folder."""
    write_tensors(folder / "model.safetensors", tensors)
    (folder / "model.json").write_text(description.model_dump_json(indent=1), encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of any device as safetensors; raise OSError where the disk refuses."""
    on_cpu = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    try:
        save_file(on_cpu, path)
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error


def read_saved(folder: Path) -> tuple[Description, dict[str, Tensor]]:
    """Return what `write_saved` wrote, tensors on the CPU; raise ClassifierError where it is not there or broken."""
    try:
        description = Description.model_validate_json((folder / "model.json").read_bytes())
        return description, load_file(folder / "model.safetensors")
    except (OSError, ValidationError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ClassifierError(f"no trained model can be read from {folder}: {reason}") from error
