"""What a person sees while a plan is executed. It listens through the same hooks as any plugin."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.status import Status

from balancebench.cli.shared import print_advice
from balancebench.execution.precision import precision_advice
from balancebench.execution.readiness import slow_here
from balancebench.hookspecs import hookimpl
from balancebench.stage import STAGES, Stage

if TYPE_CHECKING:
    from balancebench.execution.survey import Survey
    from balancebench.plan import Plan

__all__ = ["ConsoleReporter"]

PLAIN_PROGRESS_SECONDS = 15.0
WIDE_TERMINAL, WIDE_BAR, NARROW_BAR = 100, 24, 10  # columns
PERCENTAGE_WIDTH = 8  # with the spaces between columns


class ConsoleReporter:
    """Progress bars on a terminal; plain lines, one for each step that ended, elsewhere.

    advised_device: where steps run, for advice on their precision; None is for none.
    """

    def __init__(self, console: Console, advised_device: str | None = None) -> None:
        self._console = console
        self._advised_device = advised_device
        self._weights: dict[str, float] = {}
        self._total = 0.0
        self._finished = 0
        self._done_weight = 0.0
        self._partial: dict[str, float] = {}
        self._labels: dict[str, str] = {}
        self._bars: dict[str, TaskID] = {}
        self._last_plain = self._start = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=self._bar_width),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}", markup=False, style="dim"),
            console=console,
            transient=True,
        )
        self._overall: TaskID | None = None

    def surveying(self) -> Status:
        """Show that the store is looked through."""
        return self._console.status("Checking the store")

    def surveyed(self, plan: Plan, surveyed: Survey) -> None:
        """Say what is damaged."""
        to_run = {step.key for step in surveyed.to_run}
        for key, problem in surveyed.damaged.items():
            step = plan.steps[key]
            consequence = "computed again" if key in to_run else "left as it is, and nothing is made from it"
            self._console.print(
                f"Damaged in the store, {consequence}: {step.stage} {step.label}: {problem}",
                style="yellow",
                markup=False,
            )

    @contextmanager
    def running(self, plan: Plan, surveyed: Survey, where: str) -> Generator[None]:
        """Say what runs, and show how far it is."""
        profile = f", profile {plan.suite.profile}" if plan.suite.profile else ""
        self._console.print(
            f"{plan.suite.title}{profile}: {len(plan.cells)} cells, {len(surveyed.to_run)} steps to run, "
            f"{len(surveyed.done)} in the store; {where}",
            markup=False,
            soft_wrap=True,
        )
        if self._advised_device is not None:
            print_advice(self._console, precision_advice(surveyed.to_run, self._advised_device))
            for warning in slow_here(plan, surveyed.to_run, self._advised_device):
                self._console.print(warning, style="yellow", markup=False, soft_wrap=True)
        self._weights = {step.key: STAGES[step.stage].weight for step in surveyed.to_run}
        self._total = sum(self._weights.values())
        self._last_plain = self._start = time.monotonic()
        if not self._console.is_terminal:
            yield
            return
        with self._progress:
            self._overall = self._progress.add_task(self._headline(), total=self._total, note="")
            yield

    @hookimpl
    def balancebench_step_started(self, key: str, stage: Stage, label: str) -> None:
        """Show a bar for the step."""
        self._labels[key] = f"{stage} {label}"
        if self._overall is not None:
            self._bars[key] = self._progress.add_task(
                _shortened(f"  {stage:<15} {label}", self._label_width()), total=1.0, note=""
            )
            self._progress.update(self._overall, description=self._headline())

    @hookimpl
    def balancebench_step_progress(self, key: str, done: float, total: float, message: str) -> None:
        """Move the step's bar and the overall one."""
        self._partial[key] = self._weights.get(key, 0.0) * (done / total if total else 0.0)
        if self._overall is not None:
            self._progress.update(self._bars[key], completed=done / total if total else 0.0, note=self._noted(message))
            self._move()
        elif time.monotonic() - self._last_plain > PLAIN_PROGRESS_SECONDS:
            self._last_plain = time.monotonic()
            share = done / total if total else 0.0
            self._console.print(f"  {self._labels.get(key, key)}: {share:.0%} {message}{self._eta()}", markup=False)

    @hookimpl
    def balancebench_step_finished(
        self, key: str, stage: Stage, label: str, status: str, seconds: float, message: str
    ) -> None:
        """Count the step; say what went wrong with it."""
        self._finished += 1
        self._done_weight += self._weights.get(key, 0.0)
        self._partial.pop(key, None)
        if (bar := self._bars.pop(key, None)) is not None:
            self._progress.remove_task(bar)
        if self._overall is not None:
            self._move()
        self._last_plain = time.monotonic()
        if status not in ("done", "skipped"):
            what = escape(f"{stage} {label}: {message}")
            self._console.print(f"[red]{status}[/red] {what}", soft_wrap=True)
        elif self._overall is None:
            took = f" in {seconds:.1f} s" if status == "done" else ""
            self._console.print(f"{self._headline()} {status} {stage} {label}{took}", markup=False, soft_wrap=True)

    def _label_width(self) -> int:
        """Return the columns of labels: the bar and the percentage stand, whatever the terminal's width."""
        return max(8, (self._console.width - self._bar_width - PERCENTAGE_WIDTH) * 3 // 5)

    def _noted(self, message: str) -> str:
        return _shortened(message, self._console.width - self._bar_width - PERCENTAGE_WIDTH - self._label_width())

    @property
    def _bar_width(self) -> int:
        return WIDE_BAR if self._console.width >= WIDE_TERMINAL else NARROW_BAR

    def _move(self) -> None:
        assert self._overall is not None  # noqa: S101 - only called with bars
        completed = self._done_weight + sum(self._partial.values())
        self._progress.update(self._overall, completed=completed, description=self._headline(), note=self._eta())

    def _headline(self) -> str:
        return f"[{self._finished}/{len(self._weights)}]"

    def _eta(self) -> str:
        share = (self._done_weight + sum(self._partial.values())) / self._total if self._total else 1.0
        elapsed = time.monotonic() - self._start
        if share < 0.02 or elapsed < 2:
            return ""
        seconds_left = round(elapsed * (1 - share) / share)
        return f" about {seconds_left // 60}:{seconds_left % 60:02d} left"


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"
