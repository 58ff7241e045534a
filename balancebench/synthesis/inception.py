"""Inception-v3 as FID uses it (Heusel et al. 2017): where its weights lie on this machine, and the features it gives.

Light but for `load_inception`: a run looks for the weights before it starts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from balancebench.errors import DataError
from balancebench.training.pretrained import tensors_only

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["check_hash", "inception_weights", "load_inception"]

SHA256_PREFIX = "6726825d"  # torch-fidelity publishes the beginning of the hash, in the file's name
FILE = f"weights-inception-2015-12-05-{SHA256_PREFIX}.pth"
ADDRESS = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"


def inception_weights() -> Path:
    """Return the file of the weights, in torch's own cache folder; raises DataError, saying how to get it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    path = home / "hub" / "checkpoints" / FILE
    if not path.is_file():
        raise DataError(
            f'"inception" needs the weights of Inception-v3 at {path}: fetch them there beforehand with '
            f'`curl -L --create-dirs -o {path} {ADDRESS}`, or compare images by "pixels"'
        )
    return path


def check_hash(path: Path) -> None:
    """Raise DataError where the file is not the published one."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(SHA256_PREFIX):
        raise DataError(
            f"{path} is not the published file of Inception-v3's weights: its SHA-256 begins with {digest[:8]}, not "
            f"{SHA256_PREFIX}; delete it and fetch it again from {ADDRESS}"
        )


def load_inception(device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return images_NCHW uint8 on `device` -> features_ND float32 there: the 2,048 that the network pools.

    Grey images go in as three equal channels, and images of any size are resized to 299x299 as TensorFlow 1 did for the
    first FID, which published values go by. torchmetrics' default smooths while it resizes, and gives other features.

    Needs torch-fidelity. Raises DataError where the weights are not on this machine, or are not the published ones.
    """
    path = inception_weights()
    check_hash(path)
    from torchmetrics.image.fid import NoTrainInceptionV3

    with tensors_only():
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(path), antialias=False).to(device)
    return lambda images_NCHW: network(images_NCHW.expand(-1, 3, -1, -1))
