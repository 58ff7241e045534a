"""What runs on a node of a Ray cluster: one slot, which is a worker process of our own under a Ray actor.

The actor holds the CPU threads or the share of a GPU that a step takes; the worker process under it is the one of local
runs, with the same threads, limits and guards, so that results are the same bytes. A slot that sees the head's store
works on that. Another has a store of its own on its node's disk, gets a step's inputs as archives through Ray, and
hands an archive of the result back.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from balancebench.config import Compilation
from balancebench.execution.executor import Finished, Limits, Progressed, Site
from balancebench.execution.processes import ProcessExecutor
from balancebench.execution.step_parcels import packed_step, unpack_step
from balancebench.folders import data_root
from balancebench.step import step_from_json
from balancebench.store import Store

__all__ = ["RaySlot", "SlotSettings", "StepCarried", "clear_node"]

POLL_SECONDS = 0.5
PREFIX = "balancebench-ray-"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSettings:
    """What a slot is started with.

    store_root, data_root: of the head, or None where the node does not see the head's disk. run: names the run, and
    with it the node's own store.
    """

    store_root: Path | None
    data_root: Path | None
    run: str
    device: str
    threads: int
    limits: Limits
    compilation: Compilation
    checkpoint_seconds: float


@dataclass(frozen=True, slots=True)
class StepCarried:
    """The end of a step on a node with a store of its own: what became of it, and its parcel."""

    finished: Finished
    parcel: bytes


class RaySlot:
    """Runs one step at a time in a worker process."""

    def __init__(self, settings: SlotSettings) -> None:
        self._carries = settings.store_root is None
        self._store = Store.open(settings.store_root or _node_store(settings.run))
        self._progressed: list[Progressed] = []
        self._executor = ProcessExecutor(
            Site(
                store_root=self._store.root,
                data_root=settings.data_root or data_root(),
                device=settings.device,
                jobs=1,
                threads=settings.threads,
                limits=settings.limits,
                compilation=settings.compilation,
                checkpoint_seconds=settings.checkpoint_seconds,
                on_progress=self._progressed.append,
            )
        )

    def ready(self) -> bool:
        """Answer once the slot has its resources and can take steps."""
        return True

    def run(self, step_json: bytes, parcels: Mapping[str, Any]) -> Generator[Progressed | Finished | StepCarried]:
        """Run a step; yield how far it is, and its end last.

        parcels: key -> reference of the parcel of an input, which is fetched where the node does not have it.
        """
        for key, reference in parcels.items():
            if self._store.read_done(key) is None:
                unpack_step(self._store, key, ray.get(reference))
        step = step_from_json(step_json)
        self._executor.submit(step)
        while True:
            ended = self._executor.poll(POLL_SECONDS)
            if self._progressed:
                yield self._progressed[-1]  # the latest says it all
                self._progressed.clear()
            for finished in ended:
                yield StepCarried(finished, packed_step(self._store, step.key)) if self._carries else finished
                return


def clear_node(run: str) -> None:
    """Delete the store that slots of a run had on this node's disk."""
    shutil.rmtree(_node_store(run), ignore_errors=True)


def _node_store(run: str) -> Path:
    user = f"{os.getuid()}-" if hasattr(os, "getuid") else ""
    folder = Path(tempfile.gettempdir()) / f"{PREFIX}{user}{run}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
