"""A disk that is full, failing or read only costs what could not be kept, is said in words, and harms nothing else."""

import errno
import json
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from balancebench.errors import StoreError
from balancebench.store import Store, temporary

FAKES = str(Path(__file__).parents[1] / "fake_plugins")
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}
_REFUSED: dict[str, int] = {}


def _refuse(event, arguments):
    if not _REFUSED:
        return
    is_write = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if not is_write and event not in CHANGES:
        return
    for name in arguments[:2] if event == "os.rename" else arguments[:1]:
        for part, number in _REFUSED.items():
            if isinstance(name, (str, bytes, os.PathLike)) and part in os.fsdecode(name):
                raise OSError(number, os.strerror(number), os.fsdecode(name))


sys.addaudithook(_refuse)


@pytest.fixture
def disk():
    """Refuse every change below paths that hold a text, with an errno, until the end of the test."""
    yield _REFUSED
    _REFUSED.clear()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFBIG, errno.ENOLCK])
@pytest.mark.parametrize("jobs", [0, 1])
def test_a_disk_that_refuses_in_the_middle_of_a_run_fails_its_steps_in_words(harness, disk, number, jobs):
    plan = harness.plan(replace={"seeds = [0, 1]": "seeds = [0]"})
    harness.run(plan, jobs=0, stages=frozenset({"load"}))
    disk["/store/steps/"] = disk["/store/locks/"] = number
    outcome = harness.run(plan, jobs=jobs)
    assert outcome.ran == 0
    assert any(f"cannot be written: {os.strerror(number)}" in entry.message for entry in outcome.failed)
    disk.clear()
    assert not harness.run(plan, jobs=0).failed


@pytest.mark.parametrize("refused", ["/store/steps/", "/store/temporary/"])
def test_a_step_whose_result_cannot_be_kept_is_a_failure_that_says_so(harness, disk, refused):
    plan = harness.plan(replace={"seeds = [0, 1]": "seeds = [0]"})
    key = plan.cells[0].steps["load"]
    (harness.store.root / "steps").mkdir(exist_ok=True)
    harness.store.temporary_folder()

    class Late:
        """Refuses once the step runs: before, the run would not begin."""

        def balancebench_step_started(self, key, stage, label):
            disk[refused] = errno.ENOSPC

    from balancebench import hookimpl
    from balancebench.registry import load_registry

    Late.balancebench_step_started = hookimpl(Late.balancebench_step_started)
    load_registry().hooks.register(Late(), "late")
    outcome = harness.run(plan, jobs=0)
    (cause,) = [entry for entry in outcome.failed if entry.status == "failed"]
    assert cause.step.key == key
    assert os.strerror(errno.ENOSPC) in cause.message


def test_a_data_set_that_failed_to_load_once_has_its_test_labels_once_it_loads(harness, disk):
    plan = harness.plan(replace={"seeds = [0, 1]": "seeds = [0]"})
    disk["/answers/steps/"] = errno.ENOSPC
    assert "load" in {entry.step.stage for entry in harness.run(plan, jobs=0).failed}
    assert harness.store.read(plan.cells[0].steps["load"]).status == "failed"
    disk.clear()
    assert not harness.run(plan, jobs=0).failed


def test_a_store_that_cannot_be_written_is_said_so_before_a_step_runs(call, suite_file, disk):
    Store.open(Path("balancebench-store"))
    disk["balancebench-store"] = errno.EROFS
    code, out, err = call("run", suite_file(), "--jobs", "0")
    assert code == 2
    assert f"balancebench-store cannot be written: {os.strerror(errno.EROFS)}" in err
    assert "Traceback" not in out + err


def test_a_leaderboard_that_cannot_be_written_is_shown_and_failures_are_told_before_that(call, suite_file, disk):
    path = suite_file('\n[[balancer]]\nuse = "misbehaving"\n')
    disk["/results/"] = disk["results/fakes"] = errno.ENOSPC
    code, out, err = call("run", path, "--jobs", "0")
    assert code == 2
    assert "none (floor)" in out
    assert "steps did not finish:" in err
    assert err.index("did not finish") < err.index("results/fakes cannot be written")


@pytest.mark.parametrize("command", ["run", "leaderboard", "plot", "rescore"])
def test_of_a_read_only_store_everything_that_is_there_can_be_shown(call, suite_file, disk, command):
    path = suite_file()
    call("run", path, "--jobs", "0", "--no-pictures")
    disk["balancebench-store"] = errno.EROFS
    code, out, err = call(command, path, "--output", f"out-{command}")
    assert code == 0, err
    assert "Traceback" not in out + err
    assert Path(f"out-{command}/leaderboard.csv").read_text() == Path("results/fakes/leaderboard.csv").read_text()
    assert list(Path(f"out-{command}/pictures").glob("*.svg"))


def test_a_store_first_opened_on_a_full_disk_can_be_opened_once_there_is_room(tmp_path, disk):
    disk["store.json"] = errno.ENOSPC
    with pytest.raises(StoreError, match=os.strerror(errno.ENOSPC)):
        Store.open(tmp_path / "store")
    disk.clear()
    (tmp_path / "store" / f".{'a' * 32}").touch()  # of a process that died while it opened
    assert Store.open(tmp_path / "store").root.joinpath("store.json").is_file()


def test_many_processes_may_open_one_new_store_at_once(tmp_path):
    for number in range(30):
        with ThreadPoolExecutor(8) as threads:
            opened = list(threads.map(Store.open, [tmp_path / str(number)] * 8))
        assert len({store.root for store in opened}) == 1


@pytest.mark.parametrize("content", [b"[1]", b"\xff\xfe", b"", b"{}", b"3", b'{"balancebench_store": "\\u001b[2J"}'])
def test_a_damaged_marker_of_a_store_is_said_so(tmp_path, content):
    (tmp_path / "store.json").write_bytes(content)
    with pytest.raises(StoreError, match="name another") as refused:
        Store.open(tmp_path)
    assert "\x1b" not in str(refused.value)


def in_another_process(code, *arguments):
    imports = "import sys, time\nfrom pathlib import Path\nfrom balancebench.store import Store\n"
    command = [sys.executable, "-c", imports + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_living_processs_temporary_folders_stay_whatever_its_host_and_number_are_called(tmp_path, monkeypatch):
    store = Store.open(tmp_path / "store")
    code = "print(Store(Path(sys.argv[1])).temporary_folder(), flush=True)\ntime.sleep(600)"
    living = in_another_process(code, store.root)
    folder = Path(living.stdout.readline().strip())
    # As in another container: neither its number nor its host's name is known here.
    monkeypatch.setattr("psutil.pid_exists", lambda _pid: False)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    store.clear_temporary()
    assert folder.is_dir()
    living.kill()
    living.wait()
    store.clear_temporary()
    assert not any((store.root / "temporary").iterdir())


def test_folders_of_another_machine_stay_for_a_day_though_nobody_holds_their_lock_here(tmp_path, monkeypatch):
    store = Store.open(tmp_path / "store")
    folder = store.root / "temporary" / f"another-machine.{'a' * 32}.{'b' * 32}"
    folder.mkdir(parents=True)
    (folder.parent / f"another-machine.{'a' * 32}.lock").touch()
    store.clear_temporary()
    assert folder.is_dir()
    tomorrow = time.time() + 25 * 3600
    monkeypatch.setattr(temporary.time, "time", lambda: tomorrow)
    store.clear_temporary()
    assert not folder.exists()


def test_what_a_killed_run_left_is_cleared_by_a_run_that_has_nothing_to_do(harness):
    plan = harness.plan()
    harness.run(plan, jobs=0)
    dead = in_another_process("Store(Path(sys.argv[1])).temporary_folder()", harness.store.root)
    dead.wait()
    assert list((harness.store.root / "temporary").iterdir())
    assert harness.run(plan, jobs=0).ran == 0
    assert not list((harness.store.root / "temporary").iterdir())


def test_in_a_store_that_its_group_may_write_the_group_may_go_on_with_everything(harness):
    previous = os.umask(0o027)
    try:
        harness.store.root.chmod(0o770)
        plan = harness.plan('\n[[balancer]]\nuse = "misbehaving"\n', replace={"seeds = [0, 1]": "seeds = [0]"})
        harness.run(plan, jobs=0)
    finally:
        os.umask(previous)
    for path in harness.store.root.rglob("*"):
        rights = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert rights & 0o070 == 0o070, path
        elif path.suffix == ".lock":
            assert rights == 0o660, path
        elif path.name not in ("store.json", "index.sqlite"):
            assert rights & 0o047 == 0o040, path


def test_an_unreadable_result_is_damage_in_words(harness, monkeypatch):
    plan = harness.plan()
    harness.run(plan, jobs=0)
    key = plan.cells[0].steps["score"]

    def refuse(path, *arguments, **options):
        if str(path).endswith(f"{key}/record.json"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read_bytes(path, *arguments, **options)

    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert harness.store.read(key) is None
    assert harness.store.record_problem(key) == f"record.json cannot be read: {os.strerror(errno.EACCES)}"
    assert json.loads(read_bytes(harness.store.folder(key) / "record.json"))["status"] == "done"
