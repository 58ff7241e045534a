"""Values of each epoch beside committed records: read back as they were, checked, and cross-fitted."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from balancebench.artefacts.training_result import TrainingDescription, TrainingResult
from balancebench.errors import LeaderboardError
from balancebench.leaderboard import training_curves
from balancebench.leaderboard.crossfit import CrossFit, cross_fitted_best
from balancebench.leaderboard.files import check_leaderboards, rewrite_leaderboards, write_records
from balancebench.leaderboard.records import read_records
from balancebench.leaderboard.training_curves import (
    TrainingCurves,
    curves_in_store,
    curves_text,
    kept_epochs,
    read_committed_curves,
)


def some_curves(cells):
    return {
        cell.steps["train"]: TrainingCurves(
            epochs=3,
            values={"training loss": (1.5, None, 0.25 + index / 100), "test accuracy": (0.5, 0.75, 0.7)},
            cross_fit=CrossFit(last=0.7, best=0.75, cross_fitted=0.72),
        )
        for index, cell in enumerate(cells)
    }


@pytest.fixture
def committed(tmp_path, small):
    curves = some_curves(small.cells)
    path = write_records(tmp_path, small.suite, small.cells, curves=curves)
    return SimpleNamespace(root=tmp_path, folder=path.parent, path=path.parent / "curves.json", curves=curves)


def test_curves_come_back_as_they_were_and_the_page_is_made_of_them_again(committed):
    page = committed.folder / "leaderboard.html"
    before = page.read_bytes()
    assert read_committed_curves(committed.folder, read_records(committed.folder / "records.json")) == committed.curves
    assert check_leaderboards(committed.root) == ["hand_made"]
    rewrite_leaderboards(committed.root)
    assert page.read_bytes() == before


def test_records_without_curves_stay_valid_and_have_no_word_of_them(tmp_path, small):
    path = write_records(tmp_path, small.suite, small.cells)
    assert "curves" not in path.read_text(encoding="utf-8")
    assert not (path.parent / "curves.json").exists()
    assert read_committed_curves(path.parent, read_records(path)) == {}
    assert check_leaderboards(tmp_path) == ["hand_made"]


def test_the_check_names_curves_that_were_edited_or_are_missing_or_of_others(committed, small):
    text = committed.path.read_text(encoding="utf-8")
    committed.path.write_text(text.replace("1.5", "1.4", 1), encoding="utf-8")
    with pytest.raises(LeaderboardError, match=r"curves\.json is stale or was edited by hand"):
        check_leaderboards(committed.root)
    committed.path.unlink()
    with pytest.raises(LeaderboardError, match=r"curves\.json is missing"):
        check_leaderboards(committed.root)
    write_records(committed.root, small.suite, small.cells)
    committed.path.write_text(text, encoding="utf-8")
    with pytest.raises(LeaderboardError, match=r"curves\.json is of other records"):
        check_leaderboards(committed.root)


def test_a_curve_of_another_length_than_its_epochs_is_refused():
    with pytest.raises(ValueError, match="a curve of 3 epochs has 3 values"):
        TrainingCurves(epochs=3, values={"test loss": (1.0,)})


def test_curves_are_the_same_bytes_in_any_order(small):
    curves = some_curves(small.cells)
    assert curves_text(dict(reversed(curves.items()))) == curves_text(curves)


def test_long_trainings_keep_a_hundred_epochs_with_the_first_and_the_last():
    assert kept_epochs(1) == [0]
    assert kept_epochs(100) == list(range(100))
    kept = kept_epochs(1000)
    assert (len(kept), kept[0], kept[-1]) == (100, 0, 999)
    assert set(np.diff(kept)) == {10, 11}


@pytest.fixture
def a_training(make, monkeypatch):
    """A finished cell and what its store would say: 4 epochs, tested after each, the last stage from the second on."""
    labels_N = np.repeat([0, 1], [60, 20]).astype(np.int64)
    rng = np.random.default_rng(0)
    predictions_EN = np.where(rng.random((4, 80)) < 0.7, labels_N, 1 - labels_N).astype(np.int16)
    description = TrainingDescription(
        curves=[{"epoch": epoch, "loss": 1 / (epoch + 1)} for epoch in range(4)],
        epoch_losses={"test": [0.123456, None, 0.5, 0.25]},
        best_epochs={"best_test": 2},
        searched_from={"best_test": 1},
        phases=[],
    )
    result = TrainingResult(description=description, logits_NK={}, epoch_predictions_EN={"test": predictions_EN})
    monkeypatch.setattr(TrainingDescription, "read", lambda _store, _key: description)
    monkeypatch.setattr(TrainingResult, "read", lambda _store, _key: result)
    monkeypatch.setattr(training_curves, "read_test_labels", lambda _store, _key: labels_N)
    monkeypatch.setattr(
        training_curves.SplitsDescription, "read", lambda _store, _key: SimpleNamespace(class_names=("a", "b"))
    )
    return SimpleNamespace(cell=make.cell("a"), labels_N=labels_N, correct_EN=predictions_EN == labels_N)


def test_a_training_is_kept_with_four_digits_and_cross_fitted_where_its_best_epoch_was_searched(a_training):
    of = a_training
    (curves,) = curves_in_store([of.cell, of.cell], None).values()
    assert curves.epochs == 4
    assert curves.values["training loss"] == (1.0, 0.5, 0.3333, 0.25)
    assert curves.values["test loss"] == (0.1235, None, 0.5, 0.25)
    assert curves.values["test accuracy"] == pytest.approx(of.correct_EN.mean(axis=1), rel=1e-3)
    seed = int(of.cell.steps["load"][:8], 16)
    assert curves.cross_fit == cross_fitted_best(of.correct_EN[1:], of.labels_N, np.array([0.75, 0.25]), seed=seed)
    assert curves.cross_fit.best == pytest.approx(of.correct_EN[1:].mean(axis=1).max())


def test_of_very_many_trainings_no_curve_is_read(a_training, monkeypatch):
    monkeypatch.setattr(training_curves, "MOST_TRAININGS", 0)
    assert curves_in_store([a_training.cell], None) == {}


def test_the_command_keeps_the_curves_of_the_store(call, suite_file, tmp_path):
    call("run", suite_file(), "--jobs", "0")
    code, _, err = call("leaderboard", suite_file(), "--records", "leaderboard", "--no-pictures")
    assert code == 0, err
    document = json.loads((tmp_path / "leaderboard" / "fakes" / "curves.json").read_text(encoding="utf-8"))
    described = [json.loads(path.read_text()) for path in (tmp_path / "balancebench-store").rglob("training.json")]
    assert len(document["trainings"]) == len(described) > 0
    assert call("leaderboard", "--check")[0] == 0
