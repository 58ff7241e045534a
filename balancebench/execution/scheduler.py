"""Starts steps as their inputs become ready and as the executor takes them, and notes how each one ends."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from filelock import BaseFileLock

from balancebench.errors import StoreError
from balancebench.execution.executor import Executor, Finished
from balancebench.execution.observers import Observers
from balancebench.execution.survey import Survey
from balancebench.plan import Plan
from balancebench.step import Step, input_keys, record_fields
from balancebench.store import Store, commit_failure, failure_record

__all__ = ["FailedStep", "Outcome", "Scheduler", "failures_first"]

POLL_SECONDS = 0.2
LOOK_AHEAD = 100  # steps that are asked whether they can start, where the first cannot
ELSEWHERE_SECONDS = 1.0  # how often to look whether another process finished a step
LACKING = {"cuda": "it needs a CUDA device, and this machine has none"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStep:
    """A step that did not finish, or was never started (`skipped`), and why."""

    step: Step
    status: str
    message: str


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run did."""

    cached: int = 0
    ran: int = 0
    failed: list[FailedStep] = field(default_factory=list[FailedStep])
    damaged: dict[str, str] = field(default_factory=dict[str, str])
    interrupted: bool = False
    duration_seconds: float = 0.0


class Scheduler:
    """The state of one execution."""

    def __init__(self, plan: Plan, store: Store, surveyed: Survey, executor: Executor, observers: Observers) -> None:
        self.outcome = Outcome(cached=len(surveyed.done), damaged=dict(surveyed.damaged))
        self._store = store
        self._executor = executor
        self._observers = observers
        self._steps = {step.key: step for step in surveyed.to_run}
        self._waiting_on = {
            step.key: {key for key in input_keys(step.inputs) if key not in surveyed.done} for step in surveyed.to_run
        }
        self._dependents: dict[str, list[str]] = {}
        for key, inputs in self._waiting_on.items():
            for input_key in inputs:
                self._dependents.setdefault(input_key, []).append(key)
        # Steps whose inputs are neither there nor to be run (rescoring without training) can never start.
        for key, inputs in self._waiting_on.items():
            if missing := [input_key for input_key in inputs if input_key not in self._steps]:
                self._skip(key, f"its input {plan.steps[missing[0]].stage} is not in the store")
        self._ready = [key for key, inputs in self._waiting_on.items() if not inputs and key in self._steps]
        self._ready.reverse()  # taken from the end
        self._elsewhere: dict[str, float] = {}
        self._locks: dict[str, BaseFileLock] = {}

    def run(self) -> None:
        """Run until nothing is left."""
        while self._ready or self._locks or self._elsewhere:
            self._look_elsewhere()
            while (key := self._next()) is not None:
                self._start(key)
            if self._locks:
                for finished in self._executor.poll(POLL_SECONDS):
                    self._end(finished)
            elif self._elsewhere and not self._ready:
                time.sleep(POLL_SECONDS)

    def release_all(self) -> None:
        """Give up every lock that is still held."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()

    def _next(self) -> str | None:
        """Take the next step that can start now, or None: a GPU may have room for a later one only."""
        for index in range(len(self._ready) - 1, max(-1, len(self._ready) - 1 - LOOK_AHEAD), -1):
            if self._executor.takes(self._steps[self._ready[index]]):
                return self._ready.pop(index)
        return None

    def _start(self, key: str) -> None:
        step = self._steps[key]
        lacking = [requirement for requirement in sorted(step.requires) if not self._executor.offers(requirement)]
        if lacking:
            message = LACKING.get(lacking[0], f"it needs {lacking[0]}, which is not to be had here")
            commit_failure(self._store, failure_record(record_fields(step), "skipped", message))
            self._end(Finished(key, "skipped", 0.0, message))
            return
        try:
            lock = self._store.lock(key)
            if lock is None:
                self._elsewhere[key] = time.monotonic()
                return
            self._locks[key] = lock
            is_done = self._taken(key)
        except StoreError as error:
            self._end(Finished(key, "failed", 0.0, str(error)))
            return
        if is_done:
            self._end(Finished(key, "done", 0.0, ""), elsewhere=True)
            return
        self._observers.started(step)
        self._executor.submit(step)

    def _taken(self, key: str) -> bool:
        """Say whether another process finished a locked step meanwhile; else move away what stands in its place."""
        if self._store.read_whole(key) is not None:  # another process finished it meanwhile
            return True
        if key in self.outcome.damaged or self._store.read_done(key) is not None:
            self._store.set_aside(key)
        return False

    def _look_elsewhere(self) -> None:
        """Steps that another process works on are finished there, or become ours when it ends without."""
        now = time.monotonic()
        for key, looked in list(self._elsewhere.items()):
            if now - looked >= ELSEWHERE_SECONDS:
                del self._elsewhere[key]
                if self._store.read_whole(key) is not None:
                    self._end(Finished(key, "done", 0.0, ""), elsewhere=True)
                else:
                    self._ready.append(key)

    def _end(self, finished: Finished, *, elsewhere: bool = False) -> None:
        step = self._steps.pop(finished.key)
        if (lock := self._locks.pop(finished.key, None)) is not None:
            lock.release()
        if elsewhere:
            self.outcome.cached += 1
        elif finished.status == "done":
            self.outcome.ran += 1
        else:
            self.outcome.failed.append(FailedStep(step=step, status=finished.status, message=finished.message))
        self._observers.finished(step, finished)
        freed: list[str] = []
        for dependent in self._dependents.get(finished.key, []):
            if dependent not in self._steps:
                continue
            if finished.status != "done":
                self._skip(
                    dependent, f"{step.stage} of {step.label} {_status_text(finished.status)}: {finished.message}"
                )
                continue
            self._waiting_on[dependent].discard(finished.key)
            if not self._waiting_on[dependent]:
                freed.append(dependent)
        self._ready += reversed(freed)

    def _skip(self, key: str, reason: str) -> None:
        """Leave out a step and everything that depends on it."""
        step = self._steps.pop(key, None)
        if step is None:
            return
        self.outcome.failed.append(FailedStep(step=step, status="skipped", message=reason))
        self._observers.skipped(step, reason)
        for dependent in self._dependents.get(key, []):
            self._skip(dependent, reason)


def _status_text(status: str) -> str:
    return {"failed": "failed", "timeout": "timed out", "out_of_memory": "ran out of memory"}.get(status, status)


def failures_first(failed: Iterable[FailedStep]) -> list[FailedStep]:
    """Sort what went wrong: causes before what was skipped because of them."""
    return sorted(failed, key=lambda entry: (entry.status == "skipped", entry.step.label))
