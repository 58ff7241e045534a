"""A worker that is gone, or says nothing any more, is noticed at once, and nothing of what it started stays."""

import json
import time

import psutil
import pytest

from balancebench.execution import worker_process

ONE_SEED = {"seeds = [0, 1]": "seeds = [0]"}


def misbehaving(how, **options):
    lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
    return "\n".join(["", "[[balancer]]", 'use = "misbehaving"', f'how = "{how}"', *lines, ""])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("close_pipe", "closed its pipe in the middle of the step and lived on"),
        ("half_message", "closed its pipe"),
        ("nonsense", "said what no worker says"),
        ("kill_beside_child", "killed by signal 9"),
        ("kill_beside_orphan", "killed by signal 9"),
    ],
)
def test_a_step_whose_worker_falls_silent_ends_long_before_the_worker_would(harness, monkeypatch, how, message):
    monkeypatch.setattr(worker_process, "MESSAGE_SECONDS", 2)
    plan = harness.plan(misbehaving(how, seconds=120), replace=ONE_SEED)
    start = time.monotonic()
    outcome = harness.run(plan, jobs=1, seconds=110)
    assert time.monotonic() - start < 90
    record = harness.record(plan, "synthesise", "misbehaving")
    assert record.status == "failed"
    assert message in record.failure.message
    assert len(outcome.failed) == 3
    assert harness.record(plan, "score", "none").status == "done"
    for note in harness.store.root.rglob("child.pid"):
        assert not psutil.pid_exists(int(note.read_text()))


def test_of_what_a_dead_worker_printed_only_the_end_is_read(tmp_path, monkeypatch):
    log = tmp_path / "0.log"
    with log.open("wb") as file:
        file.truncate(2**33)  # 8 GiB, of which the disk holds nothing
        file.seek(0, 2)
        file.write("the last words: größer".encode())
    worker = worker_process.WorkerProcess.__new__(worker_process.WorkerProcess)
    monkeypatch.setattr(worker, "_log", log, raising=False)
    assert worker.last_words().endswith("the last words: größer")
    assert len(worker.last_words()) <= 4000


def test_a_time_limit_counts_from_the_end_of_the_imports(harness, monkeypatch):
    (folder := harness.store.root.parent / "modules").mkdir()
    code = "import time\ntime.sleep(3)\nfrom balancebench_fakes import Misbehaving\n"
    (folder / "slow_to_import.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    plan = harness.plan('\n[[balancer]]\nuse = "slow_to_import"\nhow = "none"\n', replace=ONE_SEED)
    outcome = harness.run(plan, jobs=1, seconds=2)
    assert not outcome.failed
