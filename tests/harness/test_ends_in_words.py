"""Commands end in words and an exit code: with closed or full streams, plugins that leave, and damaged files."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balancebench import hookimpl
from balancebench.contained import contained
from balancebench.errors import DataError, LeaderboardError, PluginError
from balancebench.folders import data_root
from balancebench.leaderboard.outcomes import OUTCOMES, read_committed_outcomes
from balancebench.leaderboard.records import laid_out, read_records
from balancebench.loading.image_files import list_image_tree
from balancebench.registry import Registry

FAKES = str(Path(__file__).parents[1] / "fake_plugins")
CODE = "import sys\nsys.path.insert(0, sys.argv.pop(1))\nfrom balancebench.cli import main\nmain()\n"


def in_a_shell(command, suite, folder):
    typed = f"{sys.executable} -c '{CODE}' {FAKES} {command.replace('SUITE', str(suite))}"
    return subprocess.run(["bash", "-c", typed], cwd=folder, capture_output=True, text=True, check=False)


def test_a_run_whose_output_is_closed_runs_its_steps_in_workers(suite_file, tmp_path):
    path = suite_file(replace={"seeds = [0, 1]": "seeds = [0]"})
    ended = in_a_shell("run SUITE --jobs 1 --no-pictures <&- >&-", path, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "results/fakes/leaderboard.csv").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, of Linux")
@pytest.mark.parametrize("command", ["run SUITE --jobs 0 --no-pictures", "plan SUITE --json", "--version"])
def test_an_output_that_is_full_is_said_so_at_the_end(suite_file, tmp_path, command):
    ended = in_a_shell(f"{command} >/dev/full", suite_file(), tmp_path)
    assert ended.returncode == 1
    assert f"standard output cannot be written: {os.strerror(errno.ENOSPC)}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


def test_a_user_without_a_home_gets_data_in_the_working_folder(monkeypatch, tmp_path):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    for name in ("BALANCEBENCH_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert data_root() == tmp_path / "balancebench-data"


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt()])
def test_a_plugin_that_ends_the_process_while_it_declares_is_a_row(ending):
    class Plugin:
        @staticmethod
        @hookimpl
        def balancebench_metrics():
            raise ending

    registry = Registry()
    registry.add_plugin(Plugin, "balancebench-x", "main")
    (broken,) = registry.broken
    assert "PluginError: it" in str(broken)


@pytest.mark.parametrize("statement", ["raise SystemExit(3)", "raise KeyboardInterrupt"])
def test_a_plugin_that_ends_the_process_while_it_is_imported_is_a_row(call, tmp_path, monkeypatch, statement):
    (folder := tmp_path / "site").mkdir()
    (folder / "leaving_plugin.py").write_text(statement)
    (info := folder / "leaving-1.dist-info").mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaving\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[balancebench]\nleaving = leaving_plugin\n")
    monkeypatch.syspath_prepend(str(folder))
    from balancebench.registry import load_registry

    load_registry.cache_clear()
    code, out, err = call("list")
    assert code == 0, err
    assert "leaving" in out
    assert "tried to end the process" in out or "KeyboardInterrupt" in out


def test_an_observer_that_leaves_does_not_end_the_run(harness, fakes):
    class Observer:
        @staticmethod
        @hookimpl
        def balancebench_step_finished(label):
            raise SystemExit(label)

    fakes.hooks.register(Observer, "observer")
    plan = harness.plan(replace={"seeds = [0, 1]": "seeds = [0]"})
    assert harness.run(plan, jobs=0).ran == len(plan.steps)


def test_a_step_that_leaves_is_a_failure_in_this_process_too(harness):
    plan = harness.plan('\n[[balancer]]\nuse = "misbehaving"\nhow = "leave"\n')
    harness.run(plan, jobs=0)
    assert "tried to end the process" in harness.record(plan, "synthesise", "misbehaving").failure.message


def test_ctrl_c_in_the_code_of_a_plugin_stays_the_users():
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt), contained():
            time.sleep(10)
        with pytest.raises(PluginError), contained(), contained():
            raise KeyboardInterrupt
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_link_to_itself_among_images_is_said_so(tmp_path):
    for split in ("train", "test"):
        (tmp_path / split / "cat").mkdir(parents=True)
        (tmp_path / split / "cat" / "a.png").touch()
    (tmp_path / "train" / "cat" / "b.png").symlink_to("b.png")
    with pytest.raises(DataError, match=r"b\.png is a link that leads to itself"):
        list_image_tree(tmp_path, superclass_level=False, one_tree=False)


@pytest.fixture
def ran(call, suite_file):
    """A suite that was run, and its store."""
    path = suite_file()
    code, _, err = call("run", path, "--jobs", "0", "--no-pictures")
    assert code == 0, err
    return path, Path("balancebench-store")


@pytest.mark.parametrize("damage", ["splits", "steps", "link", "folder"])
@pytest.mark.parametrize("command", ["leaderboard", "run", "plan"])
def test_a_damaged_store_is_read_as_far_as_it_goes(call, ran, damage, command):
    path, store = ran
    (splits,) = store.glob("steps/*/*/splits.json")
    if damage == "splits":
        splits.write_text('{"class_names": 3')
    elif damage == "link":
        splits.unlink()
        splits.symlink_to(splits.name)
    elif damage == "folder":
        splits.unlink()
        splits.mkdir()
    else:
        (store / "steps").rename(store / "gone")
        (store / "steps").write_text("a file where the results should be")
    code, out, err = call(command, path, *(["--jobs", "0", "--no-pictures"] if command == "run" else []))
    assert code in (0, 1)
    assert "Traceback" not in out + err
    if command == "run" and damage != "steps":
        assert code == 0, err
        assert "Damaged in the store, computed again: load" in err


def documents(value):
    """Yield every path in a document."""
    yield ()
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from ((key, *rest) for rest in documents(inner))


def replaced(value, at, new):
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = replaced(value[at[0]], at[1:], new)
    return copy


JUNK = st.sampled_from([None, True, 3, -1, 10**30, 1.5, "", "x", [], [[]], [1, 2], {}, {"a": 1}, {"0": []}])


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), JUNK, st.sampled_from(["records.json", OUTCOMES]))
def test_committed_files_with_any_value_anywhere_are_read_or_refused_in_words(committed, chance, junk, name):
    path = committed / name
    document = json.loads(path.read_text())
    document.pop("sha256", None)
    forged = replaced(document, chance.choice(list(documents(document))), junk)
    content = path.read_bytes()
    try:
        path.write_text(laid_out(forged) if isinstance(forged, dict) and forged else json.dumps(forged))
        records = read_records(committed / "records.json")
        digest = sha256((committed / OUTCOMES).read_bytes()).hexdigest()
        read_committed_outcomes(committed, replace(records, outcomes_sha256=digest))
    except LeaderboardError:
        pass  # anything else fails the test
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"3", b"\xff", b'{"format": 1, "sha256": 3, "cells": [[]]}', b"{}"]
)
def test_records_of_another_form_are_refused_in_words(tmp_path, content):
    (tmp_path / "records.json").write_bytes(content)
    with pytest.raises(LeaderboardError, match="is no file of records"):
        read_records(tmp_path / "records.json")


@pytest.fixture
def committed(call, ran):
    """A folder of committed records."""
    path, _ = ran
    code, _, err = call("leaderboard", path, "--records", "committed", "--no-pictures")
    assert code == 0, err
    return Path("committed/fakes").resolve()
