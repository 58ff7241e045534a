"""What is still to run is foretold by what like steps took; what nothing is known of is said to be unknown."""

import pytest

from balancebench.execution.forecast import forecast
from balancebench.execution.readiness import slow_here
from balancebench.execution.survey import survey
from balancebench.plan import expand
from balancebench.store import Store
from balancebench.suite.bind import bind_suite


@pytest.fixture
def foretold(call, fakes, suite_file, tmp_path):
    """Run some of the suite's seeds in a store, and return the forecast of the rest."""

    def after(*seeds, extra=""):
        path = suite_file(extra)
        for seed in seeds:
            assert call("run", path, "--jobs", "0", "--seeds", seed, "--no-pictures")[0] == 0
        plan, store = expand(bind_suite(path, fakes)), Store.open(tmp_path / "balancebench-store")
        return forecast(plan, survey(plan, store, verify=False).to_run, store), store, plan

    return after


def test_another_seed_takes_as_long_as_the_seed_that_ran(foretold):
    forecasts, store, plan = foretold("0")
    trainings = [step for step in plan.steps.values() if step.stage == "train"]
    done = [record for step in trainings if (record := store.read_done(step.key)) is not None]
    assert forecasts["train"].steps == len(trainings) - len(done) > 0
    assert forecasts["train"].unknown == 0
    assert forecasts["train"].seconds == pytest.approx(sum(record.duration_seconds for record in done))
    assert forecasts["train"].size_bytes == sum(entry.size_bytes for record in done for entry in record.files.values())


def test_nothing_is_foretold_where_all_is_done(foretold):
    assert foretold("0", "1")[0] == {}


def test_what_is_like_nothing_is_unknown_and_the_command_says_how_to_learn_it(foretold, call, suite_file):
    forecasts, _, _ = foretold()
    assert all(of_stage.unknown == of_stage.steps for of_stage in forecasts.values())
    assert "--seeds 0 of a run tells what one seed takes" in call("plan", suite_file())[1]


def test_plan_shows_time_and_disk_of_each_stage(foretold, call, suite_file):
    foretold("0")
    out = call("plan", suite_file())[1]
    assert "about" in out
    assert "of work by like steps" in out


@pytest.mark.parametrize(("epochs", "warned"), [(500, True), (5, False)])
def test_options_made_for_a_gpu_are_warned_of_where_there_is_none(fakes, suite_file, tmp_path, epochs, warned):
    path = suite_file(f'\n[[balancer]]\nuse = "dcgan"\nepochs = {epochs}\nfeatures = "pixels"\n')
    plan = expand(bind_suite(path, fakes))
    warnings = slow_here(plan, survey(plan, Store(tmp_path / "none")).to_run, "cpu")
    assert bool(warnings) == warned
    assert all("dcgan is made for a GPU" in warning for warning in warnings)
