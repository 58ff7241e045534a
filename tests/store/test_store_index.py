"""The index saves reading, and never changes an answer."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from balancebench.config import canonical_json
from balancebench.step import NoInputs, identity_of, step_key
from balancebench.store import Record, Store
from balancebench.store.index import StoreIndex
from balancebench.store.sealed import record_text

IDENTITIES = {
    step_key(identity_of(canonical_json(identity), NoInputs())): identity
    for identity in ({"number": number} for number in range(5))
}
*KEYS, ANOTHER_KEY = sorted(IDENTITIES)


def commit(store, key, content=b"result", seconds=1.0):
    folder = store.temporary_folder()
    (folder / "data.json").write_bytes(content)
    record = Record(
        key=key,
        stage="score",
        label=f"step {key[:2]}",
        status="done",
        identity=IDENTITIES[key],
        started_at="2026-01-01T00:00:00+00:00",
        duration_seconds=seconds,
        provenance={"python": "3.11"},
    )
    return store.commit(record, folder)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("balancebench.store.index.SETTLED_NS", 0)
    store = Store.open(tmp_path / "store")
    for key in KEYS:
        commit(store, key)
    return store


@pytest.fixture
def read_keys(monkeypatch):
    """The keys of the records that are read."""
    keys = []
    original = Store.read
    monkeypatch.setattr(Store, "read", lambda self, key: keys.append(key) or original(self, key))
    return keys


def survey(store, **options):
    with StoreIndex(store) as index:
        return index.survey(KEYS, **options)


def seconds_of(store, key):
    with StoreIndex(store) as index:
        known = index.step(key)
        return None if known is None else known.duration_seconds


def test_a_second_look_reads_no_record(store, read_keys):
    assert survey(store) == (set(KEYS), {}, {})
    read_keys.clear()
    assert survey(store) == (set(KEYS), {}, {})
    assert read_keys == []


def test_what_the_index_says_is_what_the_record_says(store):
    first = [StoreIndex(store).step(key) for key in KEYS]
    survey(store)
    with StoreIndex(store) as index:
        again = [index.step(key) for key in KEYS]
        assert [known._replace(verified=0) for known in again] == first
        assert json.loads(again[0].provenance) == {"python": "3.11"}
        assert index.content(again[0], "data.json") == b"result"


def test_an_index_that_was_deleted_is_made_again(store, read_keys):
    survey(store)
    (store.root / "index.sqlite").unlink()
    assert survey(store) == (set(KEYS), {}, {})
    read_keys.clear()
    survey(store)
    assert read_keys == []


@pytest.mark.parametrize("damage", ["not SQLite", "cut off", "flipped"])
def test_an_index_that_is_damaged_changes_no_answer_and_is_made_again(store, read_keys, damage):
    survey(store)
    path = store.root / "index.sqlite"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        at = content.index(b"2026-01-01")
        content[at : at + 4] = b"1999"
    path.write_bytes({"not SQLite": b"nonsense" * 1000, "cut off": content[:5000], "flipped": content}[damage])
    with StoreIndex(store) as index:
        assert {index.step(key).started_at[:4] for key in KEYS} == {"2026"}
    assert survey(store) == (set(KEYS), {}, {})
    read_keys.clear()
    survey(store)
    assert read_keys == []


def test_a_record_added_behind_its_back_is_found(store):
    survey(store)
    commit(store, ANOTHER_KEY, seconds=7.0)
    assert seconds_of(store, ANOTHER_KEY) == 7.0


def test_a_record_changed_behind_its_back_is_read_again(store):
    survey(store)
    record = store.read(KEYS[0]).model_copy(update={"duration_seconds": 2.0})
    (store.folder(KEYS[0]) / "record.json").write_text(record_text(record))
    assert seconds_of(store, KEYS[0]) == 2.0


def test_a_step_removed_behind_its_back_is_gone(store):
    survey(store)
    shutil.rmtree(store.folder(KEYS[0]))
    assert seconds_of(store, KEYS[0]) is None
    assert survey(store) == (set(KEYS[1:]), {}, {})


def test_a_file_altered_behind_its_back_is_damage_though_its_size_and_time_are_as_before(store):
    survey(store)
    path = store.folder(KEYS[0]) / "data.json"
    before = path.stat()
    path.write_bytes(b"resulT")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "was altered" in survey(store)[2][KEYS[0]]


def test_what_changed_a_moment_ago_is_not_kept(store, read_keys, monkeypatch):
    monkeypatch.setattr("balancebench.store.index.SETTLED_NS", 10**15)
    survey(store)
    assert not (store.root / "index.sqlite").exists()


def test_comparing_anew_finds_damage_that_no_size_or_time_tells(store, monkeypatch):
    survey(store)
    (store.folder(KEYS[0]) / "data.json").write_bytes(b"resulT")
    monkeypatch.setattr(StoreIndex, "_is_verified", lambda self, known: True)
    assert survey(store)[2] == {}
    assert "was altered" in survey(store, anew=True)[2][KEYS[0]]


def test_two_processes_that_write_it_at_once_leave_one_that_is_true(store):
    program = (
        "import sys; from pathlib import Path; from balancebench.store import Store;"
        "import balancebench.store.index as i;"
        "i.SETTLED_NS = 0; store = Store(Path(sys.argv[1]));"
        "keys = store.step_keys();"
        "\nfor _ in range(20):"
        "\n  with i.StoreIndex(store) as index: assert index.survey(keys, anew=True) == (set(keys), {}, {})"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(store.root)]) for _ in range(2)]
    commit(store, KEYS[0], seconds=3.0)  # done already: it stays
    assert [process.wait(60) for process in processes] == [0, 0]
    assert survey(store) == (set(KEYS), {}, {})
    assert seconds_of(store, KEYS[0]) == 1.0


def test_a_store_that_cannot_be_written_is_read_all_the_same(store, monkeypatch):
    def refuse(self):
        raise PermissionError("read-only")

    monkeypatch.setattr(Store, "temporary_folder", refuse)
    assert survey(store) == (set(KEYS), {}, {})
