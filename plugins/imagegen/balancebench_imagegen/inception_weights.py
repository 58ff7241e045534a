"""Where the weights of Inception-v3 for FID lie on this machine. Light: a run looks before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from balancebench import BalancerError

__all__ = ["inception_weights"]

FILE = "weights-inception-2015-12-05-6726825d.pth"
ADDRESS = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"


def inception_weights() -> Path:
    """Return the file of the weights, in torch's own cache folder; raises BalancerError, saying how to get it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    path = home / "hub" / "checkpoints" / FILE
    if not path.is_file():
        raise BalancerError(
            f'features = "inception" needs the weights of Inception-v3 at {path}: fetch them there beforehand with '
            f'`curl -L --create-dirs -o {path} {ADDRESS}`, or set features = "pixels" or checkpoint = "last"'
        )
    return path
