"""The store keeps whole results, notices damage, and loses nothing."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from balancebench.errors import StoreError
from balancebench.step import NoInputs, identity_of, step_key
from balancebench.store import Record, Store, failure_record
from balancebench.store.index import StoreIndex

KEY = step_key(identity_of("{}", NoInputs()))


def record(status="done", **more):
    fields = {"key": KEY, "stage": "train", "label": "x", "identity": {}, "inputs": {}}
    if status != "done":
        return failure_record(fields, status, "because")
    return Record(**fields, status=status, started_at="2026-01-01T00:00:00+00:00", duration_seconds=1.0, **more)


def commit(store, content=b"result", status="done"):
    folder = store.temporary_folder()
    (folder / "data.npy").write_bytes(content)
    return store.commit(record(status), folder)


def survey(store, keys, **options):
    with StoreIndex(store) as index:
        return index.survey(keys, **options)


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


def test_a_committed_step_is_read_back_with_its_files_hashes(store):
    commit(store)
    committed = store.read_done(KEY)
    assert committed.files["data.npy"].size_bytes == 6
    assert store.damage(committed) is None


@pytest.mark.parametrize(("status", "kept"), [("done", False), ("failed", True), ("timeout", True)])
def test_a_finished_step_needs_its_checkpoint_no_more_and_one_that_ended_otherwise_goes_on_from_it(store, status, kept):
    checkpoint = store.root / "checkpoints" / KEY / "state.json"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("{}", encoding="utf-8")
    commit(store, status=status)
    assert checkpoint.exists() == kept


@pytest.mark.parametrize("aside_bytes", [0, 2**20], ids=["in a thread", "at once"])
@pytest.mark.parametrize(("content", "problem"), [(b"resul", "5 bytes instead of 6"), (b"resulT", "was altered")])
def test_a_truncated_or_altered_file_is_damage(store, monkeypatch, content, problem, aside_bytes):
    monkeypatch.setattr("balancebench.store.index.HASHED_ASIDE_BYTES", aside_bytes)
    commit(store)
    assert survey(store, [KEY]) == ({KEY}, {}, {})
    (store.folder(KEY) / "data.npy").write_bytes(content)
    assert problem in store.damage(store.read_done(KEY))
    done, failed, damaged = survey(store, [KEY])
    assert (done, failed) == (set(), {})
    assert problem in damaged[KEY]
    assert survey(store, [KEY], verify=False) == ({KEY}, {}, {})


def test_a_missing_file_and_an_unreadable_record_are_damage(store):
    commit(store)
    (store.folder(KEY) / "data.npy").unlink()
    assert "missing" in survey(store, [KEY])[2][KEY]
    (store.folder(KEY) / "record.json").write_text("{")
    assert "record.json" in survey(store, [KEY])[2][KEY]


def test_a_failure_is_replaced_by_success_and_kept_aside(store):
    store.commit(record("failed"))
    assert store.read_done(KEY) is None
    assert survey(store, [KEY, "f" * 64]) == (set(), {KEY: store.read(KEY)}, {})
    assert store.read(KEY).failure.message == "because"
    commit(store)
    assert store.read_done(KEY) is not None
    aside = list((store.root / "set_aside").iterdir())
    assert json.loads((aside[0] / "record.json").read_text())["status"] == "failed"


def test_a_failure_never_replaces_a_success(store):
    commit(store, b"good")
    assert store.commit(record("timeout")).status == "done"
    assert (store.folder(KEY) / "data.npy").read_bytes() == b"good"


def test_a_damaged_result_gives_way_to_a_whole_one_and_is_kept_aside(store):
    commit(store)
    (store.folder(KEY) / "data.npy").write_bytes(b"resulT")
    commit(store)
    assert store.damage(store.read_done(KEY)) is None
    (aside,) = (store.root / "set_aside").iterdir()
    assert (aside / "data.npy").read_bytes() == b"resulT"


def test_many_commits_of_one_step_at_once_leave_one_whole_result(store):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: commit(store, bytes([number]) * 1000), range(16)))
    assert store.damage(store.read_done(KEY)) is None


def test_a_lock_is_held_by_one_until_it_is_released(store):
    lock = store.lock(KEY)
    assert store.lock(KEY) is None
    lock.release()
    again = store.lock(KEY)
    assert again is not None
    again.release()


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="not a balancebench store"):
        Store.open(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_record_without_a_seal_is_no_record(store):
    commit(store)
    path = store.folder(KEY) / "record.json"
    bare = json.loads(path.read_text())
    del bare["seal"]
    path.write_text(json.dumps({**bare, "format": 1}))
    assert store.read_done(KEY) is None


def test_a_store_of_an_earlier_version_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "store.json").write_text('{"balancebench_store": 1}')
    with pytest.raises(StoreError, match=r"store format 1, and this version reads 2.*name another folder with --store"):
        Store.open(tmp_path)
