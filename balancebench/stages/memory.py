"""Peak memory of a step: of the device on CUDA, of the process elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

__all__ = ["gpu_memory", "peak_memory_bytes", "reset_peak_memory"]

_STATUS = Path("/proc/self/status")


def reset_peak_memory(device: str) -> None:
    """Start counting anew, so that a warm worker's earlier steps do not count."""
    if device.startswith("cuda") and "torch" in sys.modules:
        import torch

        torch.cuda.reset_peak_memory_stats(device)
    elif _STATUS.exists():
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM
        except OSError:  # not allowed in some containers: the peak is then the process's
            return


def peak_memory_bytes(device: str) -> int:
    """Return the peak since the last reset, in bytes."""
    if device.startswith("cuda") and "torch" in sys.modules:
        import torch

        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return psutil.Process().memory_info().rss


def gpu_memory(device: str) -> tuple[int, int] | None:
    """Return (peak that torch reserved since the last reset, size of the GPU) in bytes, and give back what is idle.

    None where the device is no GPU.
    """
    if not device.startswith("cuda"):
        return None
    if "torch" not in sys.modules:
        return 0, 0
    import torch

    if not torch.cuda.is_initialized():
        return 0, 0
    peak = torch.cuda.max_memory_reserved(device)
    torch.cuda.empty_cache()  # a warm worker would keep it from its neighbours
    return peak, torch.cuda.get_device_properties(device).total_memory
