"""What is still to run is foretold by what like steps took; what nothing is known of is said to be unknown."""

import json
import re
from dataclasses import replace
from statistics import median

import pytest

from balancebench.cli.plan_cost import costs_by_device
from balancebench.execution.forecast import forecast, measured_steps
from balancebench.execution.readiness import slow_here
from balancebench.execution.survey import survey
from balancebench.leaderboard.records import read_records
from balancebench.plan import expand
from balancebench.registry import load_registry
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
        to_run = survey(plan, store, verify=False).to_run
        return forecast(to_run, measured_steps(plan, to_run, store)), store, plan

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


def test_the_cost_is_hours_by_stage_with_the_range_of_like_steps_and_unknown_where_there_are_none(
    foretold, call, suite_file, tmp_path
):
    foretold("0,1")
    three = {"seeds = [0, 1]": "seeds = [0, 1, 2, 3]"}
    plan = expand(bind_suite(suite_file(replace=three), load_registry()))
    store = Store(tmp_path / "balancebench-store")
    durations = {}
    for step in plan.steps.values():
        if step.stage == "train" and (record := store.read_done(step.key)) is not None:
            durations.setdefault(step.label.partition(" / seed")[0], []).append(record.duration_seconds)
    assert {len(of_label) for of_label in durations.values()} == {2}
    code, out, err = call("plan", suite_file(replace=three), "--cost", "--json")
    assert code == 0, err
    (cost,) = json.loads(out)["cost"]
    assert cost["device"] == "cpu"
    train = cost["stages"]["train"]
    assert (train["steps"], train["unknown"]) == (4, 0)  # floor and ceiling of two more seeds
    assert train["seconds"] == pytest.approx(sum(2 * median(of_label) for of_label in durations.values()))
    assert train["least_seconds"] == pytest.approx(sum(2 * min(of_label) for of_label in durations.values()))
    assert train["most_seconds"] == pytest.approx(sum(2 * max(of_label) for of_label in durations.values()))
    code, out, err = call("plan", suite_file('\n[[balancer]]\nuse = "generating"\n', replace=three), "--cost")
    assert code == 0, err
    assert re.search(r"synthesise +4 +4 +unknown", out)
    assert re.search(r"all +\d+ +8 +<0\.01\+ +<0\.01\+", out)  # the generators' trainings are unknown too


def test_the_cost_is_told_for_each_device_that_like_steps_ran_on(foretold):
    _, store, plan = foretold("0")
    step = next(step for step in plan.steps.values() if step.stage == "train" and store.read_done(step.key) is None)
    here = measured_steps(plan, [step], store)
    gpu = [replace(here[0], device="cuda", hardware="a GPU", seconds=7200.0)]
    on_cpu, on_gpu = costs_by_device([step], here + gpu)
    assert (on_cpu.device, on_gpu.device, on_gpu.hardware) == ("cpu", "cuda", ("a GPU",))
    assert on_gpu.stages["train"].seconds == 7200.0
    assert on_cpu.stages["train"].seconds < 60


def test_committed_records_tell_the_cost_where_the_store_is_empty(call, suite_file, tmp_path):
    path = suite_file('\n[[balancer]]\nuse = "generating"\n')
    assert call("run", path, "--jobs", "0", "--no-pictures")[0] == 0
    assert call("leaderboard", path, "--records", "committed", "--no-pictures")[0] == 0
    code, out, err = call("plan", path, "--store", tmp_path / "none", "--cost", "--records", "committed", "--json")
    assert code == 0, err
    (cost,) = json.loads(out)["cost"]
    cells = read_records(tmp_path / "committed" / "fakes" / "records.json").cells
    floors = [cell.cost.duration_seconds for cell in cells if cell.balancer == "none"]
    ceilings = [cell.cost.duration_seconds for cell in cells if cell.role == "ceiling"]
    train = cost["stages"]["train"]
    assert train["unknown"] == 0  # the generator's rows are like the floor, but for their balancer
    assert train["least_seconds"] >= 2 * min(floors) + 2 * min(ceilings)
    assert cost["stages"]["score"]["unknown"] == cost["stages"]["score"]["steps"]
    code, _, err = call("plan", path, "--cost", "--records", "nowhere")
    assert code == 2
    assert "no records at nowhere/fakes/records.json" in err


@pytest.mark.parametrize(("epochs", "warned"), [(500, True), (5, False)])
def test_options_made_for_a_gpu_are_warned_of_where_there_is_none(fakes, suite_file, tmp_path, epochs, warned):
    path = suite_file(f'\n[[balancer]]\nuse = "dcgan"\nepochs = {epochs}\nfeatures = "pixels"\n')
    plan = expand(bind_suite(path, fakes))
    warnings = slow_here(plan, survey(plan, Store(tmp_path / "none")).to_run, "cpu")
    assert bool(warnings) == warned
    assert all("dcgan is made for a GPU" in warning for warning in warnings)
