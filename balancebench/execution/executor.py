"""What every executor offers, and the table of those that can be named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Protocol

from balancebench.config import Compilation
from balancebench.errors import BalancebenchError, nearest
from balancebench.step import Step

__all__ = ["EXECUTORS", "EpochEnded", "Executor", "Finished", "Limits", "Progressed", "Site", "start_executor"]

EXECUTORS: Mapping[str, str] = {
    "processes": "balancebench.execution.processes:ProcessExecutor",
    "inline": "balancebench.execution.inline:InlineExecutor",
    "ray": "balancebench.execution.ray_executor:RayExecutor",
}
"""Name -> "module:class" of what is called with a `Site`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one step may take. None is without limit."""

    seconds: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Progressed:
    """A running step has done `done` of `total` units."""

    key: str
    done: float
    total: float
    message: str


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """A classifier that is being trained reported these values of an epoch, counted from 0."""

    key: str
    epoch: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Finished:
    """A step ended and its record is in the store."""

    key: str
    status: str
    seconds: float
    message: str


def _ignore(_event: Progressed | EpochEnded) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What an executor is started with.

    device: "auto", "cuda", "mps" or "cpu". jobs: steps side by side, or None for what the devices take; jobs_per_gpu:
    how many that is on a GPU. threads: of each step on the CPU. most: never more than there are steps. on_progress:
    hears how far running steps are. on_epoch: hears the epochs of classifiers as they end; an executor that cannot
    tell leaves it, and they are told when the step ended. ray_address: of the cluster, with the executor "ray": "auto"
    or HOST:PORT.
    """

    store_root: Path
    data_root: Path
    device: str = "auto"
    jobs: int | None = None
    jobs_per_gpu: int = 1
    threads: int = 1
    most: int = 1
    limits: Limits = field(default_factory=Limits)
    compilation: Compilation = "auto"
    checkpoint_seconds: float = 180.0
    on_progress: Callable[[Progressed], None] = _ignore
    on_epoch: Callable[[EpochEnded], None] = _ignore
    ray_address: str = "auto"


class Executor(Protocol):
    """Runs steps. `submit` only what it `takes`."""

    @property
    def description(self) -> str:
        """Where steps run, for a reader: "2 workers on cpu"."""
        ...

    def offers(self, requirement: str) -> bool:
        """Whether a step that cannot do without `requirement` ("cuda", "network") can run here."""
        ...

    def takes(self, step: Step) -> bool:
        """Whether the step can start now."""
        ...

    def submit(self, step: Step) -> None:
        """Start a step."""
        ...

    def poll(self, seconds: float) -> Sequence[Finished]:
        """Return the steps that ended, waiting at most `seconds` for one."""
        ...

    def close(self) -> None:
        """End every worker; steps that still run leave no record."""
        ...


def start_executor(name: str, site: Site) -> Executor:
    """Return the executor of that name; raise BalancebenchError where there is none."""
    if name not in EXECUTORS:
        raise BalancebenchError(f"there is no executor {name!r}{nearest(name, EXECUTORS)}")
    module_name, _, attribute = EXECUTORS[name].partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        message = f"the executor {name!r} is not installed; install it with `pip install 'balancebench[{name}]'`"
        raise BalancebenchError(message) from None
    return getattr(module, attribute)(site)
