"""What a run needs from outside is asked for before any step runs; what an attempt leaves, the next one finds."""

import pytest

from balancebench.errors import BalancebenchError
from balancebench.execution.run_plan import run_plan
from balancebench.plan import expand
from balancebench.store import Store
from balancebench.suite.bind import bind_suite

ONE_SEED = {"seeds = [0, 1]": "seeds = [0]"}


def demanding(weights, label="demanding", withheld=False):
    flag = str(withheld).lower()
    return f'\n[[balancer]]\nuse = "demanding"\nlabel = "{label}"\nweights = "{weights}"\nwithheld = {flag}\n'


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


@pytest.fixture
def plan(fakes, suite_file):
    return lambda extra: expand(bind_suite(suite_file(extra, replace=ONE_SEED), fakes))


@pytest.fixture
def run(store):
    return lambda planned: run_plan(planned, store, executor="inline", device="cpu", stages=None)


def test_everything_that_is_missing_is_named_at_once_and_no_step_runs(plan, run, store, tmp_path):
    planned = plan(demanding(tmp_path / "one.bin", "first") + demanding(tmp_path / "two.bin", "second", withheld=True))
    with pytest.raises(BalancebenchError) as caught:
        run(planned)
    assert "2 components are not ready" in str(caught.value)
    assert "balancer demanding: there is no one.bin; fetch it first" in str(caught.value)
    assert "two.bin" in str(caught.value)
    assert not (store.root / "steps").exists()


def test_a_missing_file_stops_a_wrapped_balancer_too(plan, run, tmp_path):
    wrapping = f'\n[[balancer]]\nuse = "wrapping"\nbase = {{ use = "demanding", weights = "{tmp_path / "one.bin"}" }}\n'
    with pytest.raises(BalancebenchError, match=r"balancer demanding: there is no one.bin"):
        run(plan(wrapping))


def test_what_is_already_in_the_store_needs_nothing_more(plan, run, store, tmp_path):
    weights = tmp_path / "one.bin"
    weights.touch()
    planned = plan(demanding(weights))
    run(planned)
    run(planned)
    weights.unlink()
    cell = next(cell for cell in planned.cells if cell.balancer == "demanding")
    store.set_aside(cell.steps["train"])
    store.set_aside(cell.steps["score"])
    outcome = run(planned)
    assert (outcome.ran, outcome.failed) == (2, [])


def test_planning_asks_nothing(plan, tmp_path):
    assert plan(demanding(tmp_path / "one.bin")).cells


@pytest.mark.parametrize("withheld", [False, True])
def test_a_second_attempt_finds_the_checkpoints_of_the_first_and_keeps_its_mark(plan, run, store, tmp_path, withheld):
    weights = tmp_path / "one.bin"
    weights.touch()
    planned = plan(demanding(weights, withheld=withheld))
    assert run(planned).failed
    assert len(list((store.root / "checkpoints").iterdir())) == 1
    assert not run(planned).failed
    key = next(cell.steps["synthesise"] for cell in planned.cells if cell.balancer == "demanding")
    assert (store.folder(key) / "artefacts" / "resumed.txt").read_text() == "half done"
    assert store.read_done(key).used_withheld_data == withheld
    assert list((store.root / "checkpoints").iterdir()) == []
