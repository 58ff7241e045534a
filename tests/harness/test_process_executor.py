"""The executor says how many workers there are and never waits longer than it was asked to; runs are timed."""

from types import SimpleNamespace

import pytest

from balancebench.execution import run_plan
from balancebench.execution.executor import Site
from balancebench.execution.processes import ProcessExecutor
from balancebench.store import Store


@pytest.mark.parametrize(
    ("jobs", "most", "words"), [(1, 5, "1 worker on cpu"), (2, 5, "2 workers on cpu"), (4, 3, "3 workers on cpu")]
)
def test_a_run_says_how_many_workers_it_has_which_are_no_more_than_there_are_steps(tmp_path, jobs, most, words):
    store = Store.open(tmp_path / "store")
    executor = ProcessExecutor(Site(store_root=store.root, data_root=store.root, device="cpu", jobs=jobs, most=most))
    executor.close()
    assert executor.description == words


def test_looking_for_what_ended_takes_no_longer_than_it_may_though_a_step_goes_on(harness):
    plan = harness.plan()
    executor = ProcessExecutor(Site(store_root=harness.store.root, data_root=harness.store.root, device="cpu", jobs=1))
    executor.submit(next(iter(plan.steps.values())))
    within_the_start_of_a_worker = executor.poll(0.05)
    executor.close()
    assert within_the_start_of_a_worker == []


def test_a_run_says_how_long_it_took(harness, monkeypatch):
    monkeypatch.setattr(run_plan, "time", SimpleNamespace(monotonic=iter([1000.0, 1007.5]).__next__))
    assert harness.run(harness.plan(), jobs=0).duration_seconds == 7.5
