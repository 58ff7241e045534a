"""Where the weights of Inception-v3 lie on this machine. Light: a run looks before it starts."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from balancebench import DataError

__all__ = ["check_hash", "inception_weights"]

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
            f'extractor = "inception" needs the weights of Inception-v3 at {path}: fetch them there beforehand with '
            f'`curl -L --create-dirs -o {path} {ADDRESS}`, or set extractor = "classifier"'
        )
    return path


def check_hash(path: Path) -> None:
    """Raise DataError where the file is not the published one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(SHA256_PREFIX):
        raise DataError(
            f"{path} is not the published file of Inception-v3's weights: its SHA-256 begins with {found[:8]}, not "
            f"{SHA256_PREFIX}; delete it and fetch it again from {ADDRESS}"
        )
