"""Runs steps one by one in this process, for a debugger. No time or memory limits hold here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from balancebench.executors.protocol import Finished, Progressed, Site
from balancebench.registry import load_registry
from balancebench.stages.order import StepOrder
from balancebench.store import Store

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """`submit` runs the step to its end; `on_progress` hears of it meanwhile."""

    slots = 1

    def __init__(self, site: Site, device: str, on_progress: Callable[[Progressed], None]) -> None:
        self._site = site
        self._device = device
        self._on_progress = on_progress
        self._finished: list[Finished] = []

    @property
    def idle(self) -> int:
        """One, once the last step's end has been collected."""
        return 0 if self._finished else 1

    def takes(self, order: StepOrder) -> bool:
        """Whether nothing runs."""
        return self.idle > 0

    def submit(self, order: StepOrder) -> None:
        """Run the step."""
        from balancebench.stages.run import run_step

        def progress(done: float, total: float, message: str = "") -> None:
            self._on_progress(Progressed(order.key, done, total, message))

        record = run_step(
            order,
            store=Store(self._site.store_root),
            registry=load_registry(),
            device=self._device,
            data_root=self._site.data_root,
            provenance={**self._site.provenance, "device": self._device},
            progress=progress,
            compilation=self._site.compilation,
        )
        message = record.failure.message if record.failure else ""
        self._finished.append(Finished(order.key, record.status, record.duration_seconds, message))

    def poll(self, seconds: float) -> Sequence[Progressed | Finished]:
        """Return the ends of the steps submitted."""
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        """Nothing runs here between calls."""
