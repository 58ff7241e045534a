"""Where things lie when nobody says otherwise."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["DEFAULT_STORE", "data_root"]

DEFAULT_STORE = Path("balancebench-store")
"""Relative to the working folder."""


def data_root() -> Path:
    """Return where data sets are downloaded to: $BALANCEBENCH_DATA, else a folder in the user's cache.

    A user without a home, as in some containers, has it in the working folder.
    """
    if named := os.environ.get("BALANCEBENCH_DATA"):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(cache) if cache else Path.home() / ".cache") / "balancebench" / "data"
    except RuntimeError:
        return Path("balancebench-data").absolute()
