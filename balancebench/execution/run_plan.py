"""Runs what is missing of a plan. A rerun continues; one step's failure stops only what depends on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from balancebench.config import Compilation
from balancebench.execution.executor import Limits, Site, start_executor
from balancebench.execution.observers import Observers
from balancebench.execution.readiness import check_ready
from balancebench.execution.scheduler import Outcome, Scheduler
from balancebench.execution.survey import Survey, survey
from balancebench.folders import data_root
from balancebench.plan import Cell, Plan
from balancebench.registry import Registry, load_registry
from balancebench.stage import Stage
from balancebench.store import Store

__all__ = ["Reporter", "run_plan"]


class Reporter(Protocol):
    """Shows a run to somebody. It may implement observing hooks too (see `balancebench.hookspecs`)."""

    def surveying(self) -> AbstractContextManager[object]:
        """The store is looked through inside the block."""
        ...

    def surveyed(self, plan: Plan, surveyed: Survey) -> None:
        """This is what is there, and what is to run, which may be nothing."""
        ...

    def running(self, plan: Plan, surveyed: Survey, where: str) -> AbstractContextManager[object]:
        """Steps run inside the block; `where` says on what."""
        ...


class _Silent:
    def surveying(self) -> AbstractContextManager[object]:
        return nullcontext()

    def surveyed(self, plan: Plan, surveyed: Survey) -> None:
        return

    def running(self, plan: Plan, surveyed: Survey, where: str) -> AbstractContextManager[object]:
        return nullcontext()


def run_plan(
    plan: Plan,
    store: Store,
    *,
    registry: Registry | None = None,
    reporter: Reporter | None = None,
    executor: str = "processes",
    ray_address: str = "auto",
    device: str = "auto",
    jobs: int | None = None,
    limits: Limits | None = None,
    compilation: Compilation = "auto",
    checkpoint_seconds: float = 180.0,
    stages: frozenset[Stage] | None = None,
    cells: Sequence[Cell] | None = None,
    data_folder: Path | None = None,
) -> Outcome:
    """Run the steps of a plan that the store lacks, and return what became of them. Ctrl-C ends it cleanly.

    executor: a name of `balancebench.execution.executor.EXECUTORS`. ray_address: of the cluster, "auto" or HOST:PORT,
    with the executor "ray". device: "auto", "cuda", "mps" or "cpu". jobs: steps side by side; None is as many as the
    devices take. limits: of one step. checkpoint_seconds: how often long trainings save their state. stages: only these
    are run. cells: only what these need is run. data_folder: where downloads lie; None is the user's.

    Raises BalancebenchError where something that the plan needs from outside is not there, or the store cannot be
    written, before any step runs.
    """
    registry = registry or load_registry()
    reporter = reporter or _Silent()
    start = time.monotonic()
    with reporter.surveying():
        surveyed = survey(plan, store, stages=stages, cells=cells)
    reporter.surveyed(plan, surveyed)
    store.clear_temporary()  # of earlier runs that were killed, also where nothing is left to do
    if not surveyed.to_run:
        return Outcome(cached=len(surveyed.done), damaged=dict(surveyed.damaged))
    check_ready(surveyed.to_run, registry)
    store.temporary_folder().rmdir()  # or raise: what cannot be kept need not be computed
    observers = Observers(registry.hooks.hook, plan, store)
    site = Site(
        store_root=store.root,
        data_root=data_folder or data_root(),
        device=device,
        jobs=jobs,
        jobs_per_gpu=plan.suite.jobs_per_gpu,
        threads=plan.suite.threads,
        most=len(surveyed.to_run),
        limits=limits or Limits(),
        compilation=compilation,
        checkpoint_seconds=checkpoint_seconds,
        on_progress=observers.progressed,
        on_epoch=observers.epoch_ended,
        ray_address=ray_address,
    )
    workers = start_executor(executor, site)
    scheduler = Scheduler(plan, store, surveyed, workers, observers)
    registry.hooks.register(reporter, REPORTER)
    try:
        observers.run_started(len(surveyed.to_run))
        with reporter.running(plan, surveyed, workers.description):
            scheduler.run()
    except KeyboardInterrupt:
        scheduler.outcome.interrupted = True
    finally:
        registry.hooks.unregister(name=REPORTER)
        workers.close()
        scheduler.release_all()
        store.clear_temporary()
        observers.run_ended(interrupted=scheduler.outcome.interrupted)
    scheduler.outcome.duration_seconds = time.monotonic() - start
    return scheduler.outcome


REPORTER = "balancebench-reporter"
