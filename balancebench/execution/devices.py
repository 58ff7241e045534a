"""Which devices a run uses, and what the processor can. torch is asked only where there is a sign of an accelerator."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

import psutil

from balancebench.errors import BalancebenchError, nearest
from balancebench.threads import THREAD_VARIABLES

__all__ = [
    "DEVICES",
    "THREAD_VARIABLES",
    "default_jobs",
    "ignored_threads",
    "on_processor",
    "processor_has_bf16",
    "slot_devices",
]

DEVICES = ("auto", "cuda", "mps", "cpu")
JOB_BYTES = 2 * 2**30  # of memory, for each worker that is started unasked
CPUINFO = Path("/proc/cpuinfo")
# The drivers' own files: containers often have these, and no nvidia-smi on PATH. The last is Windows' subsystem's.
SIGNS_OF_GPUS = tuple(map(Path, ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg")))
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # the instructions that torch's kernels use


def slot_devices(device: str, jobs: int | None, *, jobs_per_gpu: int = 1, threads: int = 1) -> list[str]:
    """Return the device of each worker slot, at least one; raise where the device asked for is not there.

    jobs: slots in all, or None for `jobs_per_gpu` on each GPU, or for as many as the CPU takes.
    threads: of each step on the CPU.
    """
    if device not in DEVICES:
        raise BalancebenchError(f"unknown device {device!r}{nearest(device, DEVICES)}")
    # Whoever asks for CUDA by name has torch look, whatever signs there are.
    cuda_count = _cuda_count() if device == "cuda" or (device == "auto" and _signs_of_cuda()) else 0
    if device == "cuda" and cuda_count == 0:
        raise BalancebenchError("--device cuda: torch finds no CUDA device here; `balancebench doctor` says more")
    if cuda_count:
        return [f"cuda:{index % cuda_count}" for index in range(jobs or jobs_per_gpu * cuda_count)]
    has_mps = device in ("auto", "mps") and platform.system() == "Darwin" and _has_mps()
    if device == "mps" and not has_mps:
        raise BalancebenchError("--device mps: torch finds no Apple GPU here; `balancebench doctor` says more")
    if has_mps:
        return ["mps"] * (jobs or 1)
    return ["cpu"] * (jobs or default_jobs(threads))


def default_jobs(threads: int) -> int:
    """Return how many workers of so many threads share the CPU: as many as there are cores and memory for."""
    return max(1, min(cores() // threads, psutil.virtual_memory().total // JOB_BYTES))


def ignored_threads(environment: Mapping[str, str], threads: int) -> str | None:
    """Return what to tell a user whose environment asks for another number of threads than the suite, or None."""
    for name in THREAD_VARIABLES:
        if environment.get(name, str(threads)) != str(threads):
            return (
                f"{name}={environment[name]} is not used: the number of threads changes results, so the suite says it "
                f"(threads = {threads} in [run])"
            )
    return None


def cores() -> int:
    """Return the processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_processor(device: str) -> bool:
    """Say whether a run asked for `device` computes on the processor, without asking torch.

    Where there is a sign of an accelerator, "auto" counts as that.
    """
    return device == "cpu" or (device == "auto" and not _signs_of_cuda() and platform.system() != "Darwin")


def processor_has_bf16() -> bool | None:
    """Say whether the processor computes bfloat16 in hardware, or None where that is unknown: off Linux, off x86."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), None)
    return None if flags is None else not BF16_FLAGS.isdisjoint(flags)


def _signs_of_cuda() -> bool:
    programs = any(shutil.which(name) for name in ("nvidia-smi", "rocm-smi"))
    return programs or any(path.exists() for path in SIGNS_OF_GPUS)


def _cuda_count() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()
