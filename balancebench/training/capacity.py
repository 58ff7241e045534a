"""How many bytes of images a device is given to hold."""

from __future__ import annotations

from pathlib import Path

import psutil
import torch

from balancebench.device_sharing import workers_on_device

__all__ = ["image_budget_bytes"]

# The rest is for the network, its activations and other processes. A processor gets by with less: what it does not
# hold comes from the system's file cache, nearly as fast.
SHARE_OF_FREE_MEMORY = {"cuda": 0.5, "mps": 0.25, "cpu": 0.25}

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def image_budget_bytes(device: torch.device) -> int:
    """Return the share of the device's free memory that training images may take.

    Workers on one GPU divide the share of the whole between them: what is free when they begin together is one memory.
    """
    share = SHARE_OF_FREE_MEMORY[device.type]
    if device.type != "cuda":
        return int(share * min(psutil.virtual_memory().available, _left_in_container(CONTROL_GROUPS)))
    free, total = torch.cuda.mem_get_info(device)
    # What earlier steps of this process gave back is still the process's, and free for this one.
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(share * min(free, total / workers_on_device()))


def _left_in_container(root: Path) -> float:
    """Return the bytes that this process's container may still take (control groups, version 2), or infinity."""
    try:
        limit = (root / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return float("inf")
        used = int((root / "memory.current").read_text(encoding="ascii"))
        lines = (root / "memory.stat").read_text(encoding="ascii").splitlines()
        cached = sum(int(line.split()[1]) for line in lines if line.split()[0] in {"active_file", "inactive_file"})
    except OSError:
        return float("inf")
    return max(0, int(limit) - used + cached)
