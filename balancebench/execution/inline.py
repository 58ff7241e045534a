"""Runs steps one by one in this process, for a debugger. No time or memory limits hold here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from balancebench.errors import BalancebenchError
from balancebench.execution.devices import slot_devices
from balancebench.execution.executor import EpochEnded, Finished, Progressed, Site
from balancebench.execution.provenance import describe_environment
from balancebench.execution.worker import CUBLAS_WORKSPACE
from balancebench.registry import load_registry
from balancebench.step import Step
from balancebench.store import Store

__all__ = ["InlineExecutor"]


class InlineExecutor:
    """`submit` runs the step to its end."""

    description = "this process"

    def __init__(self, site: Site) -> None:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)  # as in workers: read when CUDA starts
        self._site = site
        self._device = slot_devices(site.device, 1)[0]
        self._lasting_changes: tuple[str, ...] = ()
        self._finished: list[Finished] = []

    def offers(self, requirement: str) -> bool:
        """Whether this process has it."""
        return requirement != "cuda" or self._device.startswith("cuda")

    def takes(self, step: Step) -> bool:
        """Whether the last step's end has been collected."""
        return not self._finished

    def submit(self, step: Step) -> None:
        """Run the step."""
        from balancebench.stages.judge import Judge
        from balancebench.stages.run_step import run_step

        def progress(done: float, total: float, message: str = "") -> None:
            self._site.on_progress(Progressed(step.key, done, total, message))

        def epoch_ended(epoch: int, values: Mapping[str, float]) -> None:
            self._site.on_epoch(EpochEnded(step.key, epoch, values))

        if self._lasting_changes:
            raise BalancebenchError(
                f"a step changed this process in a way that cannot be undone ({', '.join(self._lasting_changes)}), and "
                "would change the next one's results; run with --jobs 1 or more, where each gets a process without that"
            )
        registry, store = load_registry(), Store(self._site.store_root)
        ended = run_step(
            step,
            store=store,
            registry=registry,
            device=self._device,
            data_root=self._site.data_root,
            provenance={**describe_environment(registry), "device": self._device, "threads": step.threads},
            progress=progress,
            epoch_ended=epoch_ended,
            judge=Judge(store),
            compilation=self._site.compilation,
            checkpoint_seconds=self._site.checkpoint_seconds,
        )
        self._lasting_changes, record = ended.lasting_changes, ended.record
        message = record.failure.message if record.failure else ""
        self._finished.append(Finished(step.key, record.status, record.duration_seconds, message))

    def poll(self, seconds: float) -> Sequence[Finished]:
        """Return the ends of the steps submitted."""
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        """Nothing runs here between calls."""
