"""Runs what is missing of a plan. A rerun continues; one step's failure stops only what depends on it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from filelock import BaseFileLock

from balancebench.executors.protocol import Executor, Finished, Progressed
from balancebench.plan import Plan, Stage, Step
from balancebench.registry import Registry
from balancebench.stages.order import order_for
from balancebench.store import Record, Store, failure_record

__all__ = ["Failed", "Outcome", "Survey", "execute", "survey"]

POLL_SECONDS = 0.2
LOOK_AHEAD = 100  # steps that are asked whether they can start, where the first cannot
ELSEWHERE_SECONDS = 1.0  # how often to look whether another process finished a step
logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Survey:
    """What of a plan is in the store: `done` and `damaged` keys, and the steps to run, in order.

    Inputs of finished steps are not run again, but what is damaged is.
    """

    done: set[str]
    damaged: dict[str, str]
    failed: dict[str, Record]
    to_run: list[Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A step that did not finish, or was never started (`skipped`), and why."""

    step: Step
    status: str
    message: str


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run did."""

    cached: int = 0
    ran: int = 0
    failed: list[Failed] = field(default_factory=list[Failed])
    damaged: dict[str, str] = field(default_factory=dict[str, str])
    interrupted: bool = False
    duration_seconds: float = 0.0


def survey(plan: Plan, store: Store, *, verify: bool = True, stages: frozenset[Stage] | None = None) -> Survey:
    """Look up every step of a plan. `verify` compares files with their SHA-256; `stages` limits what is to run."""
    done, failed, damaged = store.survey(plan.steps, verify=verify)
    wanted = set(damaged)
    pending = [cell.steps["score"] for cell in plan.cells if cell.steps["score"] not in done] + list(damaged)
    while pending:
        key = pending.pop()
        wanted.add(key)
        pending += [found for found in plan.steps[key].inputs.values() if found not in done and found not in wanted]
    to_run = [step for key, step in plan.steps.items() if key in wanted and (stages is None or step.stage in stages)]
    return Survey(done=done, damaged=damaged, failed=failed, to_run=to_run)


def execute(
    plan: Plan, store: Store, found: Survey, executor: Executor, registry: Registry, *, has_cuda: bool
) -> Outcome:
    """Run the steps that `found` says are to run; Ctrl-C ends cleanly and a rerun continues."""
    start = time.monotonic()
    run = _Run(plan, store, found, executor, registry.hooks.hook, has_cuda)
    try:
        run.to_the_end()
    except KeyboardInterrupt:
        run.outcome.interrupted = True
    finally:
        executor.close()
        run.release_all()
        store.clear_temporary()
    run.outcome.duration_seconds = time.monotonic() - start
    return run.outcome


class _Run:
    """The state of one execution."""

    def __init__(self, plan: Plan, store: Store, found: Survey, executor: Executor, hooks: Any, has_cuda: bool) -> None:
        self.outcome = Outcome(cached=len(found.done), damaged=dict(found.damaged))
        self._store = store
        self._executor = executor
        self._hooks = hooks
        self._has_cuda = has_cuda
        self._steps = {step.key: step for step in found.to_run}
        self._waiting_on = {
            step.key: {key for key in step.inputs.values() if key not in found.done} for step in found.to_run
        }
        self._dependents: dict[str, list[str]] = {}
        for key, inputs in self._waiting_on.items():
            for input_key in inputs:
                self._dependents.setdefault(input_key, []).append(key)
        # Steps whose inputs are neither there nor to be run (rescoring without training) can never start.
        for key, inputs in self._waiting_on.items():
            if missing := [found for found in inputs if found not in self._steps]:
                self._skip(key, f"its input {plan.steps[missing[0]].stage} is not in the store")
        self._ready = [key for key, inputs in self._waiting_on.items() if not inputs and key in self._steps]
        self._ready.reverse()  # taken from the end
        self._elsewhere: dict[str, float] = {}
        self._locks: dict[str, BaseFileLock] = {}

    def to_the_end(self) -> None:
        """Run until nothing is left."""
        while self._ready or self._locks or self._elsewhere:
            self._look_elsewhere()
            while (key := self._next()) is not None:
                self._start(key)
            if self._locks:
                for event in self._executor.poll(POLL_SECONDS):
                    self._handle(event)
            elif self._elsewhere and not self._ready:
                time.sleep(POLL_SECONDS)

    def release_all(self) -> None:
        """Give up every lock that is still held."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()

    def _next(self) -> str | None:
        """Take the next step that can start now, or None: a GPU may have room for a later one only."""
        if not self._executor.idle:
            return None
        for index in range(len(self._ready) - 1, max(-1, len(self._ready) - 1 - LOOK_AHEAD), -1):
            if self._executor.takes(order_for(self._steps[self._ready[index]])):
                return self._ready.pop(index)
        return None

    def _start(self, key: str) -> None:
        step = self._steps[key]
        if "cuda" in step.requires and not self._has_cuda:
            message = "it needs a CUDA device, and this machine has none"
            self._store.commit(failure_record(order_for(step).record_fields, "skipped", message))
            self._end(key, "skipped", 0.0, message)
            return
        lock = self._store.lock(key)
        if lock is None:
            self._elsewhere[key] = time.monotonic()
            return
        self._locks[key] = lock
        standing = self._store.read_done(key)
        if standing is not None and self._store.damage(standing) is None:  # another process finished it meanwhile
            self._end(key, "done", 0.0, "", elsewhere=True)
            return
        if key in self.outcome.damaged:
            self._store.set_aside(key)
        self._observe(self._hooks.balancebench_step_started, key=key, stage=step.stage, label=step.label)
        self._executor.submit(order_for(step))

    def _look_elsewhere(self) -> None:
        """Steps that another process works on are finished there, or become ours when it ends without."""
        now = time.monotonic()
        for key, looked in list(self._elsewhere.items()):
            if now - looked >= ELSEWHERE_SECONDS:
                del self._elsewhere[key]
                if self._store.read_done(key) is not None:
                    self._end(key, "done", 0.0, "", elsewhere=True)
                else:
                    self._ready.append(key)

    def _handle(self, event: Progressed | Finished) -> None:
        if isinstance(event, Progressed):
            self._observe(
                self._hooks.balancebench_step_progress,
                key=event.key,
                done=event.done,
                total=event.total,
                message=event.message,
            )
        else:
            self._end(event.key, event.status, event.seconds, event.message)

    def _end(self, key: str, status: str, seconds: float, message: str, *, elsewhere: bool = False) -> None:
        step = self._steps.pop(key)
        if (lock := self._locks.pop(key, None)) is not None:
            lock.release()
        if elsewhere:
            self.outcome.cached += 1
        elif status == "done":
            self.outcome.ran += 1
        else:
            self.outcome.failed.append(Failed(step=step, status=status, message=message))
        self._observe(
            self._hooks.balancebench_step_finished,
            key=key,
            stage=step.stage,
            label=step.label,
            status=status,
            seconds=seconds,
            message=message,
        )
        freed: list[str] = []
        for dependent in self._dependents.get(key, []):
            if dependent not in self._steps:
                continue
            if status != "done":
                self._skip(dependent, f"{step.stage} of {step.label} {_said(status)}: {message}")
                continue
            self._waiting_on[dependent].discard(key)
            if not self._waiting_on[dependent]:
                freed.append(dependent)
        self._ready += reversed(freed)

    def _skip(self, key: str, reason: str) -> None:
        """Leave out a step and everything that depends on it."""
        step = self._steps.pop(key, None)
        if step is None:
            return
        self.outcome.failed.append(Failed(step=step, status="skipped", message=reason))
        self._observe(
            self._hooks.balancebench_step_finished,
            key=key,
            stage=step.stage,
            label=step.label,
            status="skipped",
            seconds=0.0,
            message=reason,
        )
        for dependent in self._dependents.get(key, []):
            self._skip(dependent, reason)

    def _observe(self, hook: Callable[..., Any], **event: Any) -> None:
        try:
            hook(**event)
        except Exception:
            logger.exception("an observing plugin failed; the run goes on")


def _said(status: str) -> str:
    return {"failed": "failed", "timeout": "timed out", "out_of_memory": "ran out of memory"}.get(status, status)


def failures_first(failed: Iterable[Failed]) -> list[Failed]:
    """Sort what went wrong: causes before what was skipped because of them."""
    return sorted(failed, key=lambda entry: (entry.status == "skipped", entry.step.label))
