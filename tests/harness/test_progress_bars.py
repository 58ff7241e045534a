"""On a terminal of any width the bar, the percentage and the time that is left can be read."""

import io
import re

import pytest
from rich.console import Console

from balancebench.cli.console import ConsoleReporter
from balancebench.execution.survey import survey
from balancebench.plan import expand
from balancebench.store import Store
from balancebench.suite.bind import bind_suite


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_labels_and_notes_are_shortened_and_bars_are_not(fakes, suite_file, tmp_path, monkeypatch, columns):
    plan = expand(bind_suite(suite_file(), fakes, None))
    surveyed = survey(plan, Store.open(tmp_path / "store"))
    terminal = io.StringIO()
    reporter = ConsoleReporter(Console(file=terminal, width=columns, force_terminal=True, color_system=None))
    with reporter.running(plan, surveyed, "2 workers on cpu"):
        step = next(step for step in surveyed.to_run if step.stage == "train")
        reporter._start -= 100  # so that there is time to tell from
        reporter.balancebench_step_started(step.key, step.stage, step.label)
        reporter.balancebench_step_progress(step.key, 1, 2, "epoch 17/100 generator loss 0.25 discriminator loss 1.3")
        reporter._progress.refresh()
    screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).splitlines()
    lines = [line.rstrip() for line in screen if "50 %" in line or "left" in line]
    assert any("━" in line and "50 %" in line for line in lines)
    assert any(re.search(r"[━╸╺]+ +\d+ % +about \d+:\d\d left", line) for line in lines)
    assert max(map(len, lines)) <= columns
