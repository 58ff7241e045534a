"""Suites of fake components, planned and run on one store."""

from __future__ import annotations

import pytest

from balancebench.cli.console import ConsoleReporter
from balancebench.cli.shared import errors_console
from balancebench.execution.executor import Limits
from balancebench.execution.run_plan import run_plan
from balancebench.plan import expand
from balancebench.store import Store
from balancebench.suite.bind import bind_suite


@pytest.fixture
def harness(fakes, suite_file, tmp_path):
    """Plan and run suites on one store."""

    class Harness:
        store = Store.open(tmp_path / "store")

        def plan(self, extra="", profile=None, replace=None):
            return expand(bind_suite(suite_file(extra, replace=replace), fakes, profile))

        def run(self, plan, jobs=2, seconds=None, memory_bytes=None, stages=None, store=None, executor=None, **options):
            return run_plan(
                plan,
                store or self.store,
                registry=fakes,
                reporter=ConsoleReporter(errors_console()),
                executor=executor or ("inline" if jobs == 0 else "processes"),
                device="cpu",
                jobs=jobs or None,
                limits=Limits(seconds=seconds, memory_bytes=memory_bytes),
                stages=stages,
                **options,
            )

        def record(self, plan, stage, balancer, seed=0):
            cell = next(cell for cell in plan.cells if cell.balancer == balancer and cell.seeds.subset == seed)
            return self.store.read(cell.steps[stage])

    return Harness()
