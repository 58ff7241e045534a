"""Tells observing plugins, and the reporter among them, what becomes of a run; none of them can end it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from balancebench.contained import contained
from balancebench.errors import BalancebenchError, StoreError
from balancebench.execution.executor import EpochEnded, Finished, Progressed
from balancebench.plain_text import visible
from balancebench.stage import Stage
from balancebench.step import Step, metric_key
from balancebench.store import Record, Store

if TYPE_CHECKING:
    from balancebench.artefacts.generator import CurveRows
    from balancebench.plan import Plan

__all__ = ["Observers"]

MAIN_CURVES = "curves"  # the file of a balancer that trains one generator, see `balancebench.synthesis.curves`
# What a damaged store raises, and what curves raise that a plugin wrote otherwise than they are meant.
UNREADABLE = (StoreError, OSError, LookupError, TypeError, ValueError, OverflowError)
WITH_CURVES: frozenset[Stage] = frozenset({"train", "train_generator", "synthesise"})
logger = logging.getLogger(__name__)


class Observers:
    """The observing hooks of one run. What nobody listens to is not read from the store either."""

    def __init__(self, hooks: Any, plan: Plan, store: Store) -> None:
        self._hooks = hooks
        self._plan = plan
        self._store = store
        self._told_epochs: dict[str, set[int]] = {}
        self._failing: set[tuple[str, str]] = set()  # name of an observer, name of a hook: said once

    def run_started(self, steps_to_run: int) -> None:
        """Say that a plan begins to be executed."""
        suite = self._plan.suite
        self._tell(
            self._hooks.balancebench_run_started,
            suite=suite.name,
            title=suite.title,
            profile=suite.profile,
            steps=steps_to_run,
        )

    def run_ended(self, *, interrupted: bool) -> None:
        """Say that nothing more is run."""
        self._tell(self._hooks.balancebench_run_ended, suite=self._plan.suite.name, interrupted=interrupted)

    def started(self, step: Step) -> None:
        """Say that a step begins."""
        self._tell(self._hooks.balancebench_step_started, key=step.key, stage=step.stage, label=step.label)

    def progressed(self, event: Progressed) -> None:
        """Say how far a running step is."""
        self._tell(
            self._hooks.balancebench_step_progress,
            key=event.key,
            done=event.done,
            total=event.total,
            message=event.message,
        )

    def epoch_ended(self, event: EpochEnded) -> None:
        """Say what a classifier reported of an epoch, once: a step that is run again begins with the first."""
        told = self._told_epochs.setdefault(event.key, set())
        if event.epoch not in told:
            told.add(event.epoch)
            self._tell_epoch(self._plan.steps[event.key], "", event.epoch, event.values)

    def finished(self, step: Step, finished: Finished) -> None:
        """Say how a step that was begun here, or elsewhere, ended; what it left that was not told yet comes first."""
        if finished.status == "done":
            try:
                self._tell_what_is_left(step)
            except UNREADABLE as error:
                reason = visible(str(error) or type(error).__name__)
                logger.warning(
                    "what %s %s left cannot be read for observers (%s); the run goes on", step.stage, step.label, reason
                )
        self._told_epochs.pop(step.key, None)
        self._tell_end(step, finished, self._store.read(step.key))

    def skipped(self, step: Step, reason: str) -> None:
        """Say that a step is left out. It leaves no record."""
        self._tell_end(step, Finished(step.key, "skipped", 0.0, reason), None)

    def picture_drawn(self, path: Path, kind: str, title: str, caption: str) -> None:
        """Say that a picture of the leaderboard was written."""
        self._tell(
            self._hooks.balancebench_picture_drawn,
            suite=self._plan.suite.name,
            path=path,
            kind=kind,
            title=title,
            caption=caption,
        )

    def _tell_what_is_left(self, step: Step) -> None:
        """Tell the epochs that did not come while the step ran, and the scores."""
        if step.stage in WITH_CURVES and self._hooks.balancebench_epoch_ended.get_hookimpls():
            told = self._told_epochs.get(step.key, set[int]())
            for series, rows in self._curves(step).items():
                for row in rows:
                    epoch = int(row["epoch"])
                    if series or epoch not in told:
                        self._tell_epoch(step, series, epoch, row)
        if step.stage == "score" and self._hooks.balancebench_cell_scored.get_hookimpls():
            from balancebench.artefacts.scores import read_scores

            metric_keys = {metric.label: metric_key(metric.reference) for metric in self._plan.suite.metrics}
            for report, scores in read_scores(self._store, step.key, metric_keys).items():
                self._tell(
                    self._hooks.balancebench_cell_scored,
                    key=step.key,
                    label=step.label,
                    report=report,
                    values={label: score.value for label, score in scores.metrics.items()},
                )

    def _curves(self, step: Step) -> Mapping[str, CurveRows]:
        """Return series -> the values of each epoch; "" is the series of a training that has only one."""
        if step.stage == "train":
            from balancebench.artefacts.training_result import TrainingDescription

            return {"": TrainingDescription.read(self._store, step.key).curves}
        from balancebench.artefacts.generator import read_curves

        curves = read_curves(self._store, step.key)
        return {"" if stem == MAIN_CURVES else stem.removeprefix("curves_"): rows for stem, rows in curves.items()}

    def _tell_epoch(self, step: Step, series: str, epoch: int, values: Mapping[str, float]) -> None:
        self._tell(
            self._hooks.balancebench_epoch_ended,
            key=step.key,
            stage=step.stage,
            label=step.label,
            series=series,
            epoch=epoch,
            values={name: float(value) for name, value in values.items() if name != "epoch"},
        )

    def _tell_end(self, step: Step, finished: Finished, record: Record | None) -> None:
        self._tell(
            self._hooks.balancebench_step_finished,
            key=step.key,
            stage=step.stage,
            label=step.label,
            status=finished.status,
            seconds=finished.seconds,
            message=finished.message,
            record=record,
        )

    def _tell(self, hook: pluggy.HookCaller, **event: Any) -> None:
        """Tell each observer what it asked for, by itself: one that fails keeps nothing from the others."""
        for implementation in reversed(hook.get_hookimpls()):  # the last registered first, as pluggy has it
            try:
                with contained():
                    implementation.function(**{name: event[name] for name in implementation.argnames})
            except BalancebenchError as error:  # what the user can mend, in one line
                if self._is_new_failure(implementation.plugin_name, hook.name):
                    logger.warning("%s: %s; the run goes on", visible(implementation.plugin_name), error)
            except Exception:  # a plugin may fail in any way, and none of them is the run's
                if self._is_new_failure(implementation.plugin_name, hook.name):
                    logger.exception(
                        "the observing plugin %s failed in %s, and is told on; the run goes on",
                        visible(implementation.plugin_name),
                        hook.name,
                    )

    def _is_new_failure(self, observer: str, hook: str) -> bool:
        """Say whether this observer has not failed in this hook before, and note that it has now."""
        failure = (observer, hook)
        is_new = failure not in self._failing
        self._failing.add(failure)
        return is_new
