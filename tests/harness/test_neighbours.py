"""A step finds its process as if nothing had run there before, and what it writes into its inputs is noticed."""

import json
import os
import time

import psutil
import pytest

MEDDLING = '[[balancer]]\nuse = "misbehaving"\nhow = "{how}"\nseconds = 271.5\n'
SLEEPING = ["sleep", "271.5"]
TELLING = '[[balancer]]\nuse = "telling"\n'


def telling_folder(harness, plan):
    key = next(cell.steps["synthesise"] for cell in plan.cells if cell.balancer == "telling")
    return harness.store.folder(key) / "artefacts"


def told(harness, plan, jobs=1):
    outcome = harness.run(plan, jobs=jobs)
    assert not outcome.failed
    return json.loads((telling_folder(harness, plan) / "state.json").read_text())


@pytest.fixture
def undisturbed(harness):
    """What a balancer sees of its process when no other ran before it."""
    plan = harness.plan(TELLING)
    state = told(harness, plan)
    for path in telling_folder(harness, plan).parents[1].glob("*/record.json"):
        path.unlink()  # so that the step is run again
    return state


@pytest.mark.parametrize("jobs", [0, 1])
def test_a_step_does_not_notice_what_another_did_to_the_process(harness, undisturbed, jobs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # of this process, in which the step runs where there are no jobs
    plan = harness.plan(MEDDLING.format(how="meddle") + TELLING)
    state = told(harness, plan, jobs)
    assert {**state, "folder": ""} == {**undisturbed, "folder": ""}
    assert state["folder"] != "/"
    for child in psutil.Process().children():  # left by the run without workers, whose process is not its own
        if child.cmdline() == SLEEPING:
            child.kill()
            child.wait()


def test_the_record_says_what_was_put_back(harness):
    plan = harness.plan(MEDDLING.format(how="meddle"))
    harness.run(plan, jobs=1)
    restored = harness.record(plan, "synthesise", "misbehaving").provenance["process_restored"]
    for setting in ("default dtype", "threads", "deterministic mode", "gradient mode", "NumPy's error handling"):
        assert setting in restored
    for setting in ("the environment", "the working folder", "sys.path", "the child process sleep"):
        assert setting in restored
    assert "process_replaced_for" not in harness.record(plan, "train", "misbehaving").provenance


def test_a_process_that_a_step_left_behind_is_ended(harness):
    harness.run(harness.plan(MEDDLING.format(how="meddle")), jobs=1)
    time.sleep(0.2)
    assert not [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"] == SLEEPING]


def test_a_worker_whose_numpy_was_patched_is_replaced_and_the_record_says_so(harness, undisturbed):
    plan = harness.plan(MEDDLING.format(how="patch") + TELLING)
    assert told(harness, plan) == undisturbed
    record = harness.record(plan, "synthesise", "misbehaving")
    assert record.provenance["process_replaced_for"] == "numpy.mean"


def test_without_workers_a_process_that_cannot_be_put_back_runs_no_further_step(harness):
    import numpy as np

    mean = np.mean
    with pytest.raises(Exception, match=r"numpy\.mean.*run with --jobs 1"):
        harness.run(harness.plan(MEDDLING.format(how="patch")), jobs=0)
    assert np.mean is mean


@pytest.mark.parametrize("how", ["write_images", "write_labels"])
def test_writing_into_the_training_images_fails_the_step(harness, how):
    outcome = harness.run(harness.plan(MEDDLING.format(how=how)))
    causes = {entry.message for entry in outcome.failed if entry.status == "failed"}
    assert causes == {"misbehaving wrote into the arrays it was handed: it is to change a copy of them"}


def test_writing_into_the_files_of_an_input_fails_the_step_and_the_input_is_made_again(harness):
    plan = harness.plan(MEDDLING.format(how="write_files"), replace={"seeds = [0, 1]": "seeds = [0]"})
    outcome = harness.run(plan, jobs=1)
    (cause,) = [entry for entry in outcome.failed if entry.status == "failed"]
    assert "kept.npy was altered while this step read it" in cause.message
    again = harness.run(plan, jobs=1)
    assert [key for key in again.damaged if plan.steps[key].stage == "imbalance"]


def test_the_environment_and_threads_of_the_caller_are_as_they_were(harness):
    import torch

    threads, environment = torch.get_num_threads(), dict(os.environ)
    torch.set_num_threads(3)
    harness.run(harness.plan(), jobs=0)
    assert torch.get_num_threads() == 3
    assert dict(os.environ) == environment
    torch.set_num_threads(threads)
