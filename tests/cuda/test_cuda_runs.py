"""Whole runs on a GPU: everything trains with everything, repeats whoever works beside it, and ends as it should."""

import pytest

from balancebench.execution.executor import Limits
from balancebench.execution.run_plan import run_plan
from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite
from tests.cuda.matrix_suite import write_matrix

pytestmark = pytest.mark.cuda

ONE_CELL = """
schema = 1
name = "one"
metrics = ["accuracy"]
[run]
seeds = [0, 1]
ceiling = false
[[dataset]]
use = "digits"
[[imbalancer]]
use = "long_tail"
imbalance_ratio = 2
[[balancer]]
use = "none"
[[classifier]]
use = "small_cnn"
"""
TOO_LARGE = """
epochs = 2
[[classifier]]
use = "torchvision_model"
label = "too large"
name = "resnet18"
image_size = 1536
batch_size = 700
steps = 2
"""


def run(path, folder, gpu, **settings):
    """Return the outcome of a suite, its plan and its store."""
    plan, store = expand(bind_suite(path, load_registry())), Store.open(folder)
    return run_plan(plan, store, device=gpu, **settings), plan, store


def problems_of(outcome):
    return sorted({f"{entry.step.stage} {entry.step.label}: {entry.message}"[:300] for entry in outcome.failed})


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "deterministic"), [("fp32", True), ("bf16", False)])
def test_every_balancer_trains_with_every_classifier(gpu, tmp_path, precision, deterministic):
    every = 1 if gpu != "cpu" else 12
    path = write_matrix(tmp_path, load_registry(), precision=precision, deterministic=deterministic, every=every)
    outcome, plan, store = run(path, tmp_path / "two", gpu, jobs=2)
    assert problems_of(outcome) == []
    if not deterministic:
        return
    _, _, again = run(path, tmp_path / "eight", gpu, jobs=8 if gpu != "cpu" else 1)
    different = [
        f"{step.stage} {step.label}"
        for key, step in plan.steps.items()
        if step.stage != "score" and store.read(key).files != again.read(key).files
    ]
    assert different == [], "a step's files depend on how many workers share the GPU"


def test_a_run_in_this_process_ends_as_one_in_workers(gpu, tmp_path):
    (tmp_path / "one.toml").write_text(ONE_CELL + "epochs = 1\n", encoding="utf-8")
    inline, plan, here = run(tmp_path / "one.toml", tmp_path / "here", gpu, executor="inline")
    workers, _, there = run(tmp_path / "one.toml", tmp_path / "there", gpu, jobs=2)
    assert (problems_of(inline), problems_of(workers)) == ([], [])
    trainings = [key for key, step in plan.steps.items() if step.stage == "train"]
    assert [here.read(key).files for key in trainings] == [there.read(key).files for key in trainings]


def test_out_of_memory_in_company_ends_one_kind_of_step_and_no_other(gpu, tmp_path):
    if gpu == "cpu":
        pytest.skip("a processor has no memory of its own to run out of")
    (tmp_path / "crowded.toml").write_text(ONE_CELL + TOO_LARGE, encoding="utf-8")
    outcome, plan, store = run(tmp_path / "crowded.toml", tmp_path / "store", gpu, jobs=3)
    assert {entry.status for entry in outcome.failed} == {"out_of_memory", "skipped"}
    status = {(cell.classifier, store.read(cell.steps["train"]).status) for cell in plan.cells}
    assert status == {("small_cnn", "done"), ("too large", "out_of_memory")}


def test_a_time_limit_ends_a_training(gpu, tmp_path):
    text = ONE_CELL.replace("[0, 1]", "[0]") + "epochs = 100000\n"
    (tmp_path / "long.toml").write_text(text, encoding="utf-8")
    outcome, plan, store = run(tmp_path / "long.toml", tmp_path / "store", gpu, jobs=2, limits=Limits(seconds=5))
    assert {entry.status for entry in outcome.failed} == {"timeout", "skipped"}
    assert store.read(plan.cells[0].steps["train"]).status == "timeout"
