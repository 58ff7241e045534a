"""Steps run in worker processes; whatever one of them does, the others finish and a rerun runs only what is missing."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from balancebench.artefacts.scores import Score, read_scores
from balancebench.execution.executor import Site
from balancebench.execution.gpu_room import GpuRoom
from balancebench.execution.observers import Observers
from balancebench.execution.processes import ProcessExecutor
from balancebench.execution.scheduler import Scheduler
from balancebench.execution.survey import survey
from balancebench.registry import load_registry
from balancebench.step import metric_key
from balancebench.store import Store
from balancebench.store.index import StoreIndex

MIB = 1024**2
FAKE_PLUGINS = Path(__file__).parents[1] / "fake_plugins"


def misbehaving(how, **options):
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    return "\n".join(["", "[[balancer]]", 'use = "misbehaving"', f'how = "{how}"', *lines, ""])


def test_a_run_leaves_scores_and_a_second_run_finds_them(harness):
    plan = harness.plan(misbehaving("none"))
    first = harness.run(plan)
    assert not first.failed
    assert first.ran == len(plan.steps)
    second = harness.run(plan)
    assert (second.ran, second.cached) == (0, len(plan.steps))
    keys = {metric.label: metric_key(metric.reference) for metric in plan.suite.metrics}
    scores = read_scores(harness.store, plan.cells[0].steps["score"], keys)
    assert 0.5 < scores["last"].metrics["hits"].value <= 1.0


def test_adding_a_seed_runs_only_the_new_cells(harness):
    harness.run(harness.plan())
    plan = harness.plan(replace={"seeds = [0, 1]": "seeds = [0, 1, 2]"})
    outcome = harness.run(plan)
    # floor: subset, training, score; ceiling: training, score
    assert outcome.ran == 5


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        ("raise", "failed", "ValueError: the fake balancer raised"),
        ("refuse", "failed", "class 'light' has too few images"),
        ("exit", "failed", "exit code 3"),
        ("kill", "failed", "killed by signal 9"),
        ("sleep", "timeout", "time limit of 4 s"),
        ("memory", "out_of_memory", "memory limit of 600 MiB"),
        ("real_origin", "failed", "marked as real"),
    ],
)
def test_a_step_that_goes_wrong_ends_alone_with_its_status(harness, how, status, message):
    plan = harness.plan(misbehaving(how, seconds=600), replace={"seeds = [0, 1]": "seeds = [0]"})
    outcome = harness.run(plan, seconds=4 if how == "sleep" else 60, memory_bytes=600 * MIB)
    record = harness.record(plan, "synthesise", "misbehaving")
    assert record.status == status
    assert message in record.failure.message
    assert {entry.status for entry in outcome.failed} == {status, "skipped"}
    assert len(outcome.failed) == 3  # the synthesis, and the training and score that needed it
    assert harness.record(plan, "score", "none").status == "done"
    again = harness.run(harness.plan(replace={"seeds = [0, 1]": "seeds = [0]"}))
    assert again.ran == 0


def test_what_a_dying_worker_printed_is_kept_with_its_record(harness):
    plan = harness.plan(misbehaving("exit"), replace={"seeds = [0, 1]": "seeds = [0]"})
    harness.run(plan)
    assert "last words before leaving" in harness.record(plan, "synthesise", "misbehaving").output


def test_a_failure_is_no_result_and_a_rerun_tries_it_again(harness, tmp_path):
    marker = tmp_path / "mended"
    plan = harness.plan(misbehaving("raise", once=str(marker)))
    assert harness.run(plan).failed
    marker.touch()
    outcome = harness.run(plan)
    assert not outcome.failed
    assert outcome.ran == 6  # for each of two seeds: synthesis, training, score
    assert harness.record(plan, "synthesise", "misbehaving").status == "done"


def test_a_truncated_result_is_noticed_and_computed_again(harness, capsys):
    plan = harness.plan()
    harness.run(plan)
    key = plan.cells[0].steps["train"]
    logits = harness.store.folder(key) / "logits_last.npy"
    before = logits.read_bytes()
    logits.write_bytes(before[:-8])
    outcome = harness.run(plan)
    assert outcome.ran == 1
    assert list(outcome.damaged) == [key]
    assert "bytes instead of" in capsys.readouterr().err
    assert logits.read_bytes() == before


def test_reading_withheld_images_marks_every_record_made_from_them(harness):
    plan = harness.plan(misbehaving("withheld"))
    harness.run(plan)
    for stage in ("synthesise", "train", "score"):
        assert harness.record(plan, stage, "misbehaving").used_withheld_data, stage
    assert not harness.record(plan, "score", "none").used_withheld_data


def test_validation_carved_from_withheld_images_marks_the_rows(harness):
    carved = "seeds = [0]\nreport = ['best_validation']\nvalidation = {{ source = '{}', fraction = 0.5 }}"
    for source, marked in (("withheld", True), ("kept", False)):
        plan = harness.plan(replace={"seeds = [0, 1]": carved.format(source)})
        assert not harness.run(plan).failed
        assert harness.record(plan, "score", "none").used_withheld_data is marked


def test_best_validation_without_validation_images_is_a_clear_failure(harness):
    plan = harness.plan(replace={"seeds = [0, 1]": "seeds = [0]\nreport = ['last', 'best_validation']"})
    outcome = harness.run(plan)
    assert "validation = {" in next(entry.message for entry in outcome.failed if entry.status == "failed")


def test_best_test_keeps_the_logits_of_the_best_epoch(harness):
    plan = harness.plan(replace={"seeds = [0, 1]": "seeds = [0]\nreport = ['last', 'best_test']"})
    assert not harness.run(plan).failed
    folder = harness.store.folder(plan.cells[0].steps["train"])
    predictions_EN = np.load(folder / "epoch_predictions_test.npy")
    assert predictions_EN.shape == (2, 30)
    best = json.loads((folder / "training.json").read_text())["best_epochs"]["best_test"]
    assert (np.load(folder / "logits_best_test.npy").argmax(axis=1) == predictions_EN[best]).all()


def test_a_new_metric_is_scored_without_training(harness):
    harness.run(harness.plan())
    plan = harness.plan(replace={'["hits"]': '["hits", { use = "hits", label = "none", undefined = true }]'})
    outcome = harness.run(plan, stages=frozenset({"score"}))
    assert (outcome.ran, outcome.failed) == (4, [])
    keys = {metric.label: metric_key(metric.reference) for metric in plan.suite.metrics}
    scores = read_scores(harness.store, plan.cells[0].steps["score"], keys)
    assert scores["last"].metrics["none"] == Score(value=None, reason="asked to be undefined")


def test_rescoring_what_was_never_trained_trains_nothing(harness):
    outcome = harness.run(harness.plan(), stages=frozenset({"score"}))
    assert outcome.ran == 0
    assert all("not in the store" in entry.message for entry in outcome.failed)


def test_a_component_that_needs_cuda_is_skipped_with_its_reason(harness):
    plan = harness.plan('\n[[balancer]]\nuse = "needs_cuda"\n')
    harness.run(plan)
    record = harness.record(plan, "train", "needs_cuda")
    assert record.status == "skipped"
    assert "CUDA" in record.failure.message


def test_a_wrapping_balancer_gets_what_its_base_made(harness):
    plan = harness.plan('\n[[balancer]]\nuse = "wrapping"\nbase = { use = "misbehaving", how = "none" }\n')
    assert not harness.run(plan).failed
    record = harness.record(plan, "synthesise", "wrapping")
    assert json.loads((harness.store.folder(record.key) / "synthetic.json").read_text())["images"] == 4


@pytest.mark.parametrize("jobs", [0, 1])
def test_what_a_classifier_notes_of_its_computation_is_in_the_record(harness, jobs):
    plan = harness.plan(replace={"seeds = [0, 1]": "seeds = [0]"})
    harness.run(plan, jobs=jobs, compilation="never")
    assert harness.record(plan, "train", "none").provenance["compiled"] == "never"


def test_jobs_0_runs_in_this_process(harness):
    plan = harness.plan(misbehaving("raise"))
    outcome = harness.run(plan, jobs=0)
    assert harness.record(plan, "score", "none").status == "done"
    assert "ValueError" in next(entry.message for entry in outcome.failed if entry.status == "failed")


def test_the_same_seed_gives_the_same_logits_in_another_store(harness, tmp_path):
    plan = harness.plan()
    harness.run(plan, jobs=1)
    other = Store.open(tmp_path / "other")
    harness.run(plan, store=other)
    for cell in plan.cells:
        first, second = harness.store.read_done(cell.steps["train"]), other.read_done(cell.steps["train"])
        assert first.files["logits_last.npy"] == second.files["logits_last.npy"]


def _command(suite, store):
    # A background shell hands down that interrupts are ignored; the command is tested as a terminal starts it.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.path.insert(0, sys.argv.pop(1))\nfrom balancebench.cli import main\nmain()\n"
    )
    return [sys.executable, "-c", code, str(FAKE_PLUGINS), "run", str(suite), "--store", str(store)]


def test_two_runs_on_one_store_at_once_both_finish(harness, suite_file, tmp_path):
    path = suite_file("seconds = 0.3\n")
    runs = [
        subprocess.Popen(
            [*_command(path, harness.store.root), "--output", str(tmp_path / f"out{index}")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=tmp_path,
        )
        for index in range(2)
    ]
    outputs = [run.communicate(timeout=120)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    plan = harness.plan("seconds = 0.3\n")
    with StoreIndex(harness.store) as index:
        assert index.survey(plan.steps) == (set(plan.steps), {}, {})
    assert not (harness.store.root / "set_aside").exists()  # no step was computed twice
    said = re.findall(r"(\d+) steps ran in \S+ (\d+) came from the store", "".join(outputs))
    assert sum(int(ran) for ran, _ in said) == len(plan.steps)
    assert [int(ran) + int(from_store) for ran, from_store in said] == [len(plan.steps)] * 2


def test_ctrl_c_ends_cleanly_and_the_same_command_continues(harness, suite_file, tmp_path):
    path = suite_file(misbehaving("sleep", seconds=600))
    command = _command(path, harness.store.root)
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    plan = harness.plan(misbehaving("sleep", seconds=600))
    floor = [cell.steps["score"] for cell in plan.cells if cell.role == "floor"]
    deadline = time.monotonic() + 60
    while not all(harness.store.read_done(key) for key in floor):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    workers = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGINT)
    output = run.communicate(timeout=60)[0]
    assert run.returncode == 130, output
    assert "The same command continues" in output
    assert "Traceback" not in output
    assert not psutil.wait_procs(workers, timeout=5)[1]
    assert not any((harness.store.root / "temporary").iterdir())
    assert all(harness.store.read_done(key) for key in floor)


def test_a_worker_killed_from_outside_ends_its_step_alone(harness):
    plan = harness.plan("seconds = 1.0\n", replace={"seeds = [0, 1]": "seeds = [0]"})

    def kill_first_worker():
        me = psutil.Process()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if any((harness.store.root / "locks").glob(f"{plan.cells[0].steps['train']}*")):
                time.sleep(0.3)
                busy = [child for child in me.children() if any("spawn_main" in part for part in child.cmdline())]
                os.kill(busy[0].pid, signal.SIGKILL)
                return
            time.sleep(0.05)

    killer = threading.Thread(target=kill_first_worker)
    killer.start()
    outcome = harness.run(plan, jobs=1)
    killer.join()
    assert [entry.status for entry in outcome.failed if entry.status != "skipped"] == ["failed"]
    assert "signal 9" in outcome.failed[0].message
    assert not harness.run(plan, jobs=1).failed


class EveryoneIsWelcome:
    """A room for all; notes how many ran at once, and lets what runs out of memory try once more."""

    def __init__(self):
        self.running, self.most, self.retried = set(), 0, []

    def admits(self, kind):
        return True

    def waits_no_more(self, kind):
        pass

    def start(self, key, kind):
        self.running.add(key)
        self.most = max(self.most, len(self.running))

    def finish(self, key, memory):
        self.running.discard(key)

    def retry_alone(self, key):
        if key in self.retried:
            return False
        self.retried.append(key)
        self.running.discard(key)
        return True


def run_in_room(harness, plan, room):
    site = Site(store_root=harness.store.root, data_root=harness.store.root, device="cpu", jobs=2, most=2)
    executor = ProcessExecutor(site, rooms={"cpu": room})
    observers = Observers(load_registry().hooks.hook, plan, harness.store)
    scheduler = Scheduler(plan, harness.store, survey(plan, harness.store), executor, observers)
    scheduler.run()
    executor.close()
    return scheduler.outcome


def test_a_step_out_of_memory_in_company_is_run_again_before_it_counts_as_failed(harness):
    plan = harness.plan(misbehaving("out_of_memory"), replace={"seeds = [0, 1]": "seeds = [0]"})
    room = EveryoneIsWelcome()
    outcome = run_in_room(harness, plan, room)
    record = harness.record(plan, "synthesise", "misbehaving")
    assert room.retried == [record.key]
    assert record.status == "out_of_memory"
    assert [entry.status for entry in outcome.failed].count("out_of_memory") == 1
    assert harness.record(plan, "score", "none").status == "done"
    assert room.most == 2
    assert not room.running


def test_steps_of_unknown_memory_wait_for_each_other(harness):
    class Watched(GpuRoom):
        most = 0

        def start(self, key, kind):
            super().start(key, kind)
            self.most = max(self.most, len(self._running))

    plan, room = harness.plan(), Watched()
    assert not run_in_room(harness, plan, room).failed  # on a processor no step says what it took
    assert room.most == 1
