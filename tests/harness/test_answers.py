"""Test labels lie where no step of a plugin opens them."""

import shutil

import numpy as np
import pytest

from balancebench.artefacts.splits import read_test_labels
from balancebench.store import Store
from balancebench.store.archive import export_steps, import_steps

PRYING = '[[balancer]]\nuse = "misbehaving"\nhow = "labels"\n'


@pytest.fixture
def finished(harness):
    plan = harness.plan()
    assert not harness.run(plan, jobs=0).failed
    return plan


def load_key(plan):
    return plan.cells[0].steps["load"]


def test_no_folder_of_a_step_holds_labels_of_test_images(harness, finished):
    key = load_key(finished)
    names = {path.name for path in harness.store.folder(key).rglob("*")}
    assert {"test_images.npy", "train_labels.npy"} <= names
    assert "test_labels.npy" not in names
    assert read_test_labels(harness.store, key).tolist() == [0] * 10 + [1] * 10 + [2] * 10
    labels_N = read_test_labels(harness.store, key)
    for path in (harness.store.root / "steps").rglob("*.npy"):
        array = np.load(path)
        assert array.shape != labels_N.shape or array.tolist() != labels_N.tolist()


def test_a_step_that_opens_the_test_labels_fails_and_its_record_says_why(harness):
    plan = harness.plan(PRYING)
    outcome = harness.run(plan, jobs=1)
    causes = {entry.message for entry in outcome.failed if entry.status == "failed"}
    assert len(causes) == 1
    assert "test labels are for scores alone" in causes.pop()


@pytest.mark.parametrize("damage", ["altered", "deleted"])
def test_damaged_labels_are_made_again_and_no_score_is_kept(harness, finished, damage):
    folder = harness.store.answers.folder(load_key(finished))
    if damage == "deleted":
        shutil.rmtree(folder)
    else:
        content = bytearray((folder / "test_labels.npy").read_bytes())
        content[-8] ^= 1
        (folder / "test_labels.npy").write_bytes(content)
    outcome = harness.run(finished, jobs=0)
    assert "labels of the test images" in outcome.damaged[load_key(finished)]
    assert not outcome.failed
    assert read_test_labels(harness.store, load_key(finished)).tolist()[-1] == 2


def test_an_archive_carries_the_labels_with_their_data_set(harness, finished, tmp_path):
    export_steps(harness.store, list(finished.steps), tmp_path / "all.tar.gz", lambda _count: None)
    other = Store.open(tmp_path / "other")
    import_steps(other, tmp_path / "all.tar.gz", lambda _count: None)
    assert read_test_labels(other, load_key(finished)).tolist()[0] == 0
    assert harness.run(finished, jobs=0, store=other).ran == 0
