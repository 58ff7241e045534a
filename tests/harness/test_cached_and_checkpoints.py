"""What is computed once for a store, and what outlives an interrupted step."""

from __future__ import annotations

import numpy as np
import pytest

from balancebench.checkpoints import Checkpoints
from balancebench.store import Store


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store")


def computing(value, calls):
    def compute():
        calls.append(value)
        return np.array(value)

    return compute


def test_an_array_is_computed_once_for_a_name_and_an_identity(store):
    calls = []
    for identity in ({"images": "a"}, {"images": "a"}, {"images": "b"}):
        assert store.cached("features", identity, computing([1.0, 2.0], calls)).tolist() == [1.0, 2.0]
    store.cached("other", {"images": "a"}, computing([1.0, 2.0], calls))
    assert len(calls) == 3


def test_another_process_finds_it(store):
    calls = []
    store.cached("features", 1, computing([1.0], calls))
    assert Store.open(store.root).cached("features", 1, computing([9.0], calls)).tolist() == [1.0]


def test_a_damaged_array_is_computed_again(store):
    calls = []
    store.cached("features", 1, computing([1.0], calls))
    (path,) = store.root.rglob("array.npy")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert store.cached("features", 1, computing([1.0], calls)).tolist() == [1.0]
    assert len(calls) == 2


def write(text):
    return lambda folder: (folder / "state.txt").write_text(text)


def test_a_state_replaces_the_one_before(tmp_path):
    checkpoints = Checkpoints(folder=tmp_path)
    assert checkpoints.latest() is None
    for text in ("first", "second"):
        checkpoints.save(write(text))
        assert (checkpoints.latest() / "state.txt").read_text() == text
    assert len(list(tmp_path.iterdir())) == 1


def test_a_state_that_was_not_written_whole_leaves_the_one_before(tmp_path):
    checkpoints = Checkpoints(folder=tmp_path)
    checkpoints.save(write("whole"))

    def fail(folder):
        (folder / "state.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(fail)
    assert (Checkpoints(folder=tmp_path).latest() / "state.txt").read_text() == "whole"
    Checkpoints(folder=tmp_path).save(write("later"))
    assert len(list(tmp_path.iterdir())) == 1


def test_saving_is_due_after_the_seconds_and_not_right_after_a_save(tmp_path):
    often, seldom = Checkpoints(folder=tmp_path, seconds=0), Checkpoints(folder=tmp_path, seconds=1000)
    assert often.due()
    assert not seldom.due()
