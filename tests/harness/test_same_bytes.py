"""A result is a function of its key: how many steps run side by side changes no byte of it."""

import hashlib

import pytest

from balancebench.cli.run import RunOptions, carry_out
from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite

SUITE = """
schema = 1
name = "bytes"
title = "Bytes"
metrics = ["balanced_accuracy", "loss"]

[run]
seeds = [0]
report = ["last", "best_test"]
ceiling = false
{threads}

[[dataset]]
use = "digits"

[[imbalancer]]
use = "long_tail"
imbalance_ratio = 10

[[balancer]]
use = "none"

[[classifier]]
use = "small_cnn"
epochs = 2
"""


def files_of(folder, jobs, threads=""):
    """Return the SHA-256 of every file that a run leaves, by step and name."""
    path = folder / "suite.toml"
    path.write_text(SUITE.format(threads=threads), encoding="utf-8")
    plan = expand(bind_suite(path, load_registry(), None))
    store = Store.open(folder / "store")
    outcome = carry_out(plan, store, RunOptions(jobs=jobs, device="cpu"))
    assert not outcome.failed
    return {
        (plan.steps[key].stage, key, path.relative_to(store.folder(key)).as_posix()): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for key in plan.steps
        for path in sorted(store.folder(key).rglob("*"))
        if path.is_file() and path.name != "record.json"
    }


@pytest.fixture(scope="module")
def of_one_job(tmp_path_factory):
    return files_of(tmp_path_factory.mktemp("one"), 1)


@pytest.mark.parametrize("jobs", [0, 2])
def test_any_number_of_jobs_leaves_the_same_bytes(of_one_job, tmp_path, jobs):
    files = files_of(tmp_path, jobs)
    assert ("train", "logits_last.npy") in {(stage, name) for stage, _, name in files}
    assert files == of_one_job


def test_threads_of_the_environment_change_no_byte_and_the_user_is_told(of_one_job, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert files_of(tmp_path, 1) == of_one_job
    assert "OMP_NUM_THREADS=2 is not used" in capsys.readouterr().err


def test_another_number_of_threads_is_another_result(of_one_job, tmp_path):
    files = files_of(tmp_path, 0, "threads = 2")
    stages = {"train", "score"}
    assert {key for stage, key, _ in files if stage in stages}.isdisjoint(key for _, key, _ in of_one_job)
