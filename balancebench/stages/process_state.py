"""Keeps one step from changing the next one in the same process.

A plugin may set torch's default dtype, change the working folder, patch NumPy or leave a child process behind. What a
step finds is the same whatever ran before it: global generators are seeded by its key, its threads are the suite's,
and afterwards all settings are put back. What cannot be put back is named, so that the process can be replaced.
"""

from __future__ import annotations

import builtins
import locale
import math
import os
import random
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import psutil
from threadpoolctl import threadpool_limits

from balancebench.seeds import seed_for
from balancebench.threads import THREAD_VARIABLES

__all__ = ["ProcessChanges", "guarded_process"]

WATCHED_MODULES = (
    "numpy",
    "numpy.linalg",
    "numpy.random",
    "numpy.random.mtrand",
    "PIL.Image",
    "torch",
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.optim",
    "torch.utils.data",
)
OWN_PACKAGE = "balancebench."
HELPERS = ("resource_tracker", "forkserver", "compile_worker")  # processes that Python and torch keep for themselves


@dataclass(slots=True)
class ProcessChanges:
    """What a step changed in its process: what was put back, and what could not be. Filled when the guard ends."""

    restored: list[str] = field(default_factory=list[str])
    lasting: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class _Setting:
    """A global setting: how it is read and set. fresh: what a step finds, whoever ran before it."""

    name: str
    read: Callable[[], Any]
    set: Callable[[Any], object]
    fresh: Any = None


@contextmanager
def guarded_process(key: str, threads: int, *, is_worker: bool) -> Generator[ProcessChanges]:
    """Compute inside the block as if in a new process; afterwards put back what was there, and say what was changed.

    key: of the step; Python's and NumPy's global generators are seeded by it. threads: of NumPy's and torch's
    arithmetic. is_worker: whether the process runs steps and nothing else, so that a new child process is the step's.
    """
    environment = dict(os.environ)
    of_torch = [(setting, setting.read()) for setting in _torch_settings(threads)]
    for setting, _ in of_torch:
        setting.set(setting.fresh)
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))  # read by what is imported later
    _seed_global_generators(seed_for("process", int(key[:15], 16)))
    own = [(setting, setting.read()) for setting in _settings()]
    functions = _watched_functions()
    children = _children() if is_worker else set[psutil.Process]()
    changes = ProcessChanges()
    try:
        with threadpool_limits(threads):
            try:
                yield changes
            finally:
                _put_back([*own, *((setting, setting.fresh) for setting in _torch_settings(threads))], changes)
                changes.lasting += _replaced(functions)
                if is_worker:
                    changes.restored += [f"the child process {name}" for name in _end(_children() - children)]
    finally:
        for setting, value in of_torch:
            setting.set(value)
        _set_environment(environment)


def _put_back(expected: Iterable[tuple[_Setting, Any]], changes: ProcessChanges) -> None:
    for setting, value in expected:
        if not _same(setting.read(), value):
            setting.set(value)
            (changes.restored if _same(setting.read(), value) else changes.lasting).append(setting.name)


def _seed_global_generators(seed: int) -> None:
    """Nothing of ours draws from them; what a plugin draws depends on the step and not on who ran before."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global generator is the point
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed)


def _settings() -> Iterator[_Setting]:
    yield _Setting("the environment", lambda: dict(os.environ), _set_environment)
    yield _Setting("the working folder", os.getcwd, os.chdir)
    yield _Setting("the mask of new files", _umask, os.umask)
    yield _Setting("sys.path", lambda: list(sys.path), _set_path)
    yield _Setting("the locale", lambda: locale.setlocale(locale.LC_ALL), _set_locale)
    yield _Setting("NumPy's error handling", np.geterr, lambda value: np.seterr(**value))


def _torch_settings(threads: int) -> Iterator[_Setting]:
    """Yield torch's settings, none where it is not imported."""
    if "torch" not in sys.modules:
        return
    import torch

    determinism: Any = torch.utils.deterministic
    backends: Any = torch.backends
    yield _Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    yield _Setting("torch's default device", torch.get_default_device, torch.set_default_device, torch.device("cpu"))
    yield _Setting("torch's threads", torch.get_num_threads, torch.set_num_threads, threads)
    yield _Setting(
        "torch's deterministic mode", torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0
    )
    yield _attribute("torch's filling of memory", determinism, "fill_uninitialized_memory", True)
    yield _Setting("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled, True)
    yield _Setting("torch's anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False)
    yield _Setting(
        "torch's precision of matrix products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
        "highest",
    )
    yield _Setting("torch's treatment of denormal numbers", _flushes_denormals, torch.set_flush_denormal, False)
    for device in ("cpu", "cuda"):
        yield _Setting(
            f"torch's autocast on {device}",
            lambda device=device: torch.is_autocast_enabled(device),
            lambda value, device=device: torch.set_autocast_enabled(device, value),
            False,
        )
    yield _attribute("cuDNN's benchmark flag", backends.cudnn, "benchmark", False)
    yield _attribute("cuDNN's deterministic flag", backends.cudnn, "deterministic", False)
    # Unlike in a new process: torch lets cuDNN's convolutions round float32 to TF32, and a suite's fp32 is fp32.
    yield _Setting("cuDNN's TF32 flag", _cudnn_tf32, _set_cudnn_tf32, False)
    yield _attribute("cuDNN's enabled flag", backends.cudnn, "enabled", True)
    yield _attribute("oneDNN's enabled flag", backends.mkldnn, "enabled", True)


def _attribute(name: str, owner: Any, attribute: str, fresh: Any) -> _Setting:
    return _Setting(name, lambda: getattr(owner, attribute), lambda value: setattr(owner, attribute, value), fresh)


def _cudnn_tf32() -> bool | None:
    """Return whether cuDNN may use TF32, or None where it may for some operations only."""
    import torch

    try:
        return torch.backends.cudnn.allow_tf32
    except RuntimeError:
        return None


def _set_cudnn_tf32(value: bool | None) -> None:
    import torch

    torch.backends.cudnn.allow_tf32 = bool(value)


def _set_environment(value: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(value)


def _set_path(value: list[str]) -> None:
    sys.path[:] = value


def _set_locale(value: str) -> None:
    locale.setlocale(locale.LC_ALL, value)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _flushes_denormals() -> bool:
    import torch

    return bool(torch.tensor(math.ulp(0.0), dtype=torch.float64) * 1 == 0)


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


def _watched_functions() -> dict[str, dict[str, Any]]:
    """Return the functions and classes of the modules that steps compute with, by module and name."""
    watched: dict[str, ModuleType] = {"builtins": builtins, "random": random, "math": math, "os": os}
    for name, module in list(sys.modules.items()):
        if name in WATCHED_MODULES or name.startswith(OWN_PACKAGE):
            watched[name] = module
    return {
        name: {attribute: value for attribute, value in vars(module).items() if callable(value)}
        for name, module in watched.items()
    }


def _replaced(functions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the functions that are others than before, put back as far as that helps."""
    replaced: list[str] = []
    for name, before in functions.items():
        module = builtins if name == "builtins" else sys.modules.get(name)
        if module is None:
            replaced.append(name)
            continue
        for attribute, value in before.items():
            replacement = vars(module).get(attribute)
            if replacement is not value and _home(replacement) != _home(value):  # torch replaces some of its own
                replaced.append(f"{name}.{attribute}")
                setattr(module, attribute, value)
    return replaced


def _home(value: Any) -> str:
    """Return the package in which a function or class was written, whatever it says of itself."""
    module = getattr(value, "__globals__", {}).get("__name__") or getattr(value, "__module__", None) or ""
    return str(module).partition(".")[0]


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _end(left_behind: Iterable[psutil.Process]) -> list[str]:
    """End the processes that a step left behind, and return their names."""
    names: list[str] = []
    for child in left_behind:
        try:
            if not any(helper in " ".join(child.cmdline()) for helper in HELPERS):
                names.append(child.name())
                child.kill()
        except psutil.NoSuchProcess:
            continue
    return sorted(names)
