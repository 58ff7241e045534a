"""How many worker processes of a run compute on the device of this one: what each takes, its neighbours lack."""

from __future__ import annotations

import os

__all__ = ["WORKERS_VARIABLE", "workers_on_device"]

WORKERS_VARIABLE = "BALANCEBENCH_WORKERS_ON_DEVICE"
"""The environment of a worker says it; no result depends on it."""


def workers_on_device() -> int:
    """Return the number of workers of this run on this process's device, itself included; 1 outside of a worker."""
    text = os.environ.get(WORKERS_VARIABLE, "")
    return max(1, int(text)) if text.isdecimal() else 1
