"""Peak memory of a step: of the device where CUDA has begun, of the process elsewhere.

Nothing here starts CUDA: that takes seconds and half a gigabyte of the GPU, and a step may not need it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

from balancebench.device_sharing import workers_on_device

__all__ = ["gpu_memory", "peak_memory_bytes", "reset_peak_memory", "uses_gpu"]

KEPT_SHARE = 1 / 32  # of a GPU's memory: what small steps leave idle, and the next one takes again at once
_STATUS = Path("/proc/self/status")


def uses_gpu(device: str) -> bool:
    """Say whether `device` is a GPU of CUDA on which this process has begun to compute."""
    if not device.startswith("cuda") or "torch" not in sys.modules:
        return False
    import torch

    return torch.cuda.is_initialized()


def reset_peak_memory(device: str) -> None:
    """Start counting anew, so that a warm worker's earlier steps do not count."""
    if uses_gpu(device):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    elif _STATUS.exists():
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM
        except OSError:  # not allowed in some containers: the peak is then the process's
            return


def peak_memory_bytes(device: str) -> int:
    """Return the peak since the last reset, in bytes."""
    if uses_gpu(device):
        import torch

        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return psutil.Process().memory_info().rss


def gpu_memory(device: str) -> tuple[int, int] | None:
    """Return (peak that torch reserved since the last reset, size of the GPU) in bytes, and give back what is idle.

    The only worker on its GPU keeps a little. None where the device is no GPU.
    """
    if not device.startswith("cuda"):
        return None
    if not uses_gpu(device):
        return 0, 0
    import torch

    peak, total = torch.cuda.max_memory_reserved(device), torch.cuda.get_device_properties(device).total_memory
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if workers_on_device() > 1 or idle > KEPT_SHARE * total:
        with torch.cuda.device(device):
            torch.cuda.empty_cache()  # a warm worker would keep it from its neighbours, or from another program
    return peak, total
