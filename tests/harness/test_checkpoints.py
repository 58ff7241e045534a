"""A checkpoint is whole or not there; a step that was interrupted leaves the record of one that ran through."""

import json
import logging
import shutil
import signal
from functools import partial

import numpy as np
import pytest

from balancebench import Checkpoints
from balancebench.execution.run_plan import run_plan
from balancebench.plan import expand
from balancebench.stages import training_checkpoints
from balancebench.stages.epoch_track import EpochTrack
from balancebench.stages.judge import judge_validation
from balancebench.stages.training_checkpoints import TrainingCheckpoints
from balancebench.store import Store
from balancebench.suite.bind import bind_suite

SETTINGS = {
    "seeds = [0, 1]": 'seeds = [0]\nreport = ["last", "best_test", "best_validation"]\nfloor = false\nceiling = false',
    'use = "means"': 'use = "small_cnn"\nwidth = 4\nepochs = 6\nbatch_size = 8\naugmentation = "crop_flip"',
    'use = "tiny"': 'use = "tiny"\nvalidation = true',
}


def write_text(text):
    return lambda folder: (folder / "state.txt").write_text(text)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(folder=tmp_path / "checkpoints", seconds=0)


def test_the_latest_state_replaces_the_one_before(checkpoints):
    assert checkpoints.latest() is None
    for number in range(12):
        checkpoints.save(write_text(str(number)))
    assert (checkpoints.latest() / "state.txt").read_text() == "11"
    assert len(list(checkpoints.folder.iterdir())) == 1


def test_an_attempt_that_dies_while_saving_leaves_the_state_before(checkpoints):
    checkpoints.save(write_text("first"))

    def die(folder):
        (folder / "state.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(die)
    assert (checkpoints.latest() / "state.txt").read_text() == "first"


def test_a_full_disk_is_a_line_in_the_log_and_leaves_the_state_before(checkpoints, caplog):
    checkpoints.save(write_text("first"))

    def fill_disk(folder):
        (folder / "state.txt").write_text("half")
        raise OSError("no space left on device")

    checkpoints.save(fill_disk)
    assert "no space left on device" in caplog.text
    assert (checkpoints.latest() / "state.txt").read_text() == "first"
    assert len(list(checkpoints.folder.iterdir())) == 1


def change(folder):
    (folder / "state" / "state.txt").write_text("other")


def truncate(folder):
    (folder / "state" / "state.txt").write_text("")


def add_file(folder):
    (folder / "state" / "more.txt").touch()


def remove_digests(folder):
    (folder / "sha256.json").unlink()


@pytest.mark.parametrize("damage", [change, truncate, add_file, remove_digests, shutil.rmtree])
def test_a_damaged_state_is_not_gone_on_from(checkpoints, damage, caplog):
    checkpoints.save(write_text("first"))
    saved = checkpoints.folder / "saved.1"
    damage(saved)
    assert checkpoints.latest() is None
    assert not saved.exists() or "its files are damaged" in caplog.text
    checkpoints.save(write_text("second"))
    assert (checkpoints.latest() / "state.txt").read_text() == "second"


@pytest.fixture
def attempt(fakes, suite_file, tmp_path, monkeypatch):
    """Run a suite of one cell in a store; Ctrl-C comes after so many states were saved."""
    plan = expand(bind_suite(suite_file(replace=SETTINGS), fakes))
    save = TrainingCheckpoints.save
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # of a run in the background it is ignored

    def run(name, stops_after=None, **changes):
        saves = 0

        def save_and_stop(self, write):
            nonlocal saves
            save(self, write)
            saves += 1
            if saves == stops_after:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(TrainingCheckpoints, "save", save_and_stop)
        store = Store.open(tmp_path / name)
        settings = {"executor": "inline", "device": "cpu", "checkpoint_seconds": 0.0, "registry": fakes, **changes}
        outcome = run_plan(plan, store, **settings)
        assert outcome.interrupted == (stops_after is not None)
        key = plan.cells[0].steps["train"]
        return store, store.read(key), store.folder(key)

    yield run
    signal.signal(signal.SIGINT, handler)


def results(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "record.json"}


def test_an_interrupted_training_leaves_what_one_that_ran_through_leaves(attempt):
    _, whole, whole_folder = attempt("whole")
    assert whole.optimiser_steps > 20
    for stops_after in (7, 9):
        store, record, _ = attempt("continued", stops_after)
        assert record is None
    store, record, folder = attempt("continued")

    assert {"logits_best_test.npy", "epoch_predictions_validation.npy"} < set(results(folder))
    assert results(folder) == results(whole_folder)
    assert (record.images_seen, record.optimiser_steps) == (whole.images_seen, whole.optimiser_steps)
    assert record.provenance["continued"] == "after interruptions at steps 7, 16"
    assert "continued" not in whole.provenance
    assert list((store.root / "checkpoints").iterdir()) == []


def test_a_track_remembers_the_best_epoch_so_far(tmp_path):
    labels_N = np.arange(6) % 3
    judge = partial(judge_validation, labels_N=labels_N)
    right_NK = np.eye(3, dtype=np.float32)[labels_N]
    epochs = [np.roll(right_NK, 1, axis=1), right_NK, np.full((6, 3), np.nan, np.float32), -right_NK, 2 * right_NK]
    for killed_after in range(len(epochs)):
        track = EpochTrack("test", judge)
        track.write(tmp_path)
        for epoch, logits_NK in enumerate(epochs):
            track.add(epoch, logits_NK, logits_NK)
            if epoch == killed_after:
                track.write(tmp_path)
                track = EpochTrack("test", judge)
                track.read(tmp_path)
        assert (track.best_epoch, track.best_score) == (1, 1.0)
        assert track.best_logits_NK.tobytes() == right_NK.tobytes()
        assert track.losses_E[2] is None
        assert np.stack(track.predictions_EN).tolist()[1] == labels_N.tolist()
        assert len(track.predictions_EN) == len(track.losses_E) == len(epochs)


def test_the_record_counts_the_seconds_memory_and_notes_of_what_it_goes_on_from(attempt, tmp_path):
    store, _, _ = attempt("store", 3)
    (harness,) = (store.root / "checkpoints").glob("*/saved.3/state/harness/harness.json")
    known = json.loads(harness.read_text())
    known |= {"seconds": 1000.0, "peak_memory_bytes": 2**50, "notes": {**known["notes"], "by_plugin": "noted before"}}
    harness.write_text(json.dumps(known))
    seal_anew(harness.parents[2])

    _, record, _ = attempt("store")

    assert 1000 < record.duration_seconds < 1060
    assert record.peak_memory_bytes == 2**50
    assert record.provenance["by_plugin"] == "noted before"


def seal_anew(saved):
    from balancebench.checkpoints import _digests

    (saved / "sha256.json").write_text(json.dumps(_digests(saved / "state")))


def other_code(monkeypatch):
    monkeypatch.setattr(training_checkpoints, "_code_digest", lambda *packages: "of other code")


def other_versions(monkeypatch):
    import torch

    from balancebench.execution import inline

    monkeypatch.setattr(
        inline, "describe_environment", lambda _registry: {"versions": {"torch": torch.__version__ + "x"}}
    )


@pytest.mark.parametrize(("change", "words"), [(other_code, "code"), (other_versions, "versions")])
def test_a_state_made_with_something_else_is_not_gone_on_from(attempt, monkeypatch, caplog, change, words):
    _, whole, whole_folder = attempt("whole")
    attempt("store", 5)
    change(monkeypatch)
    with caplog.at_level(logging.WARNING):
        _, record, folder = attempt("store")

    assert "has changed since" in caplog.text
    assert words in caplog.text
    assert results(folder) == results(whole_folder)
    assert record.optimiser_steps == whole.optimiser_steps
    assert "continued" not in record.provenance


def test_a_damaged_state_lets_the_training_begin_anew(attempt, caplog):
    _, whole, whole_folder = attempt("whole")
    store, _, _ = attempt("store", 5)
    (weights,) = (store.root / "checkpoints").glob("*/saved.5/state/classifier/state.safetensors")
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    _, record, folder = attempt("store")

    assert "its files are damaged" in caplog.text
    assert results(folder) == results(whole_folder)
    assert record.optimiser_steps == whole.optimiser_steps


def test_a_classifier_that_saves_nothing_leaves_no_folder(fakes, suite_file, tmp_path):
    plan = expand(bind_suite(suite_file(replace={"seeds = [0, 1]": "seeds = [0]"}), fakes))
    store = Store.open(tmp_path / "store")
    assert not run_plan(plan, store, registry=fakes, executor="inline", device="cpu", checkpoint_seconds=0.0).failed
    assert not (store.root / "checkpoints").exists()
