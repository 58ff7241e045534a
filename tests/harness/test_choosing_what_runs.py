"""Part of a suite, another value for one command, and what a step left, as a person asks for them."""

import json
import re

import pytest


def states(call, *arguments):
    steps = json.loads(call("plan", *arguments, "--json")[1])["steps"]
    return {step["label"]: step["state"] for step in steps if step["stage"] == "train"}


def test_only_the_cells_that_were_asked_for_are_run(call, suite_file):
    path = suite_file()
    code, _, err = call("run", path, "--jobs", "0", "--only", "balancer=none", "--seeds", "1", "--no-pictures")
    assert code == 0, err
    done = {label for label, state in states(call, path).items() if state == "done"}
    assert done == {"tiny / halving / none / means / seed 1"}


def test_the_same_command_without_a_choice_runs_the_rest_and_nothing_twice(call, suite_file):
    path = suite_file()
    call("run", path, "--jobs", "0", "--seeds", "1", "--no-pictures")
    out = call("run", path, "--jobs", "0", "--no-pictures")[1]
    assert set(states(call, path).values()) == {"done"}
    assert re.search(r"[1-9]\d* came from the store", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "balancer=non"], "there is no balancer of that label (did you mean 'none'?)"),
        (["--only", "none"], "write AXIS=LABEL"),
        (["--only", "metric=hits"], "AXIS is one of dataset, imbalancer, balancer, classifier"),
        (["--seeds", "7"], "'7' is no seed of this suite (known: 0, 1)"),
        (["--set", "classifier.epochs"], "names no value: write --set classifier.epochs=2"),
        (["--set", "run.sedes=[0]"], "--set run.sedes: [run] has no key 'sedes' (did you mean 'seeds'?)"),
        (["--set", "balancer.nun.target=1"], "no [[balancer]] is called 'nun'"),
        (["--set", "run.seeds=[0]", "--set", "run.seeds=[1]"], "names 'run.seeds' twice"),
        (["--jobs", "0", "--time-limit", "5s"], "--jobs 0 runs steps in this one: give --jobs 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_nearest_name(call, suite_file, arguments, message):
    code, _, err = call("run", suite_file(), *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_value_set_for_one_command_makes_results_of_their_own_name(call, suite_file, tmp_path):
    path = suite_file()
    code, out, err = call("run", path, "--jobs", "0", "--set", "run.seeds=[5]", "--no-pictures")
    assert code == 0, err
    assert "Profile run.seeds=-5-" in out
    assert "no results of the full suite" in out
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name.startswith("fakes.run.seeds")
    assert "--set 'run.seeds=[5]'" in (folder / "leaderboard.md").read_text()
    assert set(states(call, path).values()) == {"to run"}
    assert set(states(call, path, "--set", "run.seeds=[5]").values()) == {"done"}


def test_threads_are_a_value_of_the_suite_like_any_other(call, suite_file):
    path = suite_file()
    call("run", path, "--jobs", "0", "--threads", "2", "--seeds", "0", "--no-pictures")
    assert set(states(call, path).values()) == {"to run"}
    assert "done" in states(call, path, "--set", "run.threads=2").values()


def test_a_failure_names_the_command_that_shows_its_traceback(call, suite_file):
    path = suite_file('\n[[balancer]]\nuse = "misbehaving"\n')
    err = call("run", path, "--jobs", "1", "--seeds", "0", "--no-pictures")[2]
    assert "Traceback" not in err
    key = re.search(r"balancebench log (\w+)", err).group(1)
    code, out, _ = call("log", key)
    assert code == 0
    assert "Traceback (most recent call last)" in out
    assert "the fake balancer raised" in out
    assert json.loads(call("log", key, "--json")[1])["status"] == "failed"


def test_debug_shows_the_traceback_of_a_worker(call, suite_file):
    path = suite_file('\n[[balancer]]\nuse = "misbehaving"\n')
    err = call("run", path, "--jobs", "1", "--seeds", "0", "--debug", "--no-pictures")[2]
    assert "Traceback (most recent call last)" in err
    assert "fake_plugins" in err
    assert err.count("the fake balancer raised") >= 2


def test_what_a_step_printed_in_a_worker_is_kept(call, suite_file):
    path = suite_file('\n[[balancer]]\nuse = "misbehaving"\nhow = "print"\n')
    call("run", path, "--jobs", "1", "--seeds", "0", "--no-pictures")
    keys = re.findall(r"(\w{12})\s+synthesise", call("store", "list")[1])
    assert "the fake balancer printed this" in call("log", keys[0])[1]


@pytest.mark.parametrize("key", ["abc", "0123456789"])
def test_a_key_that_names_no_step_is_refused(call, suite_file, key):
    call("run", suite_file(), "--jobs", "0", "--seeds", "0", "--no-pictures")
    code, _, err = call("log", key)
    assert code == 2
    assert "key" in err or "begin with" in err
