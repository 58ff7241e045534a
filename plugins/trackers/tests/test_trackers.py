"""Each tracker is asked for by its variable, follows a real run, and is read back through its own library."""

from __future__ import annotations

import contextlib
import glob
import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from balancebench.cli.main import main
from balancebench.registry import load_registry
from balancebench_trackers.plugin import Following, mlflow, tensorboard, wandb
from balancebench_trackers.tracker import flat_metrics

VARIABLES = ("BALANCEBENCH_TENSORBOARD", "BALANCEBENCH_MLFLOW", "BALANCEBENCH_WANDB")
SUITE = """
schema = 1
name = "followed"
metrics = ["balanced_accuracy", "class_accuracy"]

[run]
seeds = [0]
ceiling = false

[[dataset]]
use = "digits"
images_per_class = 20

[[imbalancer]]
use = "long_tail"
imbalance_ratio = 4

[[balancer]]
use = "none"

[[classifier]]
use = "small_cnn"
epochs = 3
width = 4
"""


@pytest.fixture
def follow(tmp_path, monkeypatch, capsys):
    """Run the suite as it is typed, with these variables, in an empty folder; returns what it said on stderr."""
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "WANDB_MODE", "BALANCEBENCH_STORE"):
        monkeypatch.delenv(name, raising=False)

    def run(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "suite.toml").write_text(SUITE, encoding="utf-8")
        monkeypatch.setattr("sys.argv", ["balancebench", "run", "suite.toml", "--jobs", "0"])
        with contextlib.suppress(SystemExit):
            main()
        said = capsys.readouterr()
        assert "steps ran in" in said.out, said.err
        return said.err

    return run


def test_the_trackers_are_plugins_of_this_environment():
    registry = load_registry()
    registered = registry.hooks.get_plugins()
    assert {tensorboard, mlflow, wandb} <= registered
    assert not registry.broken


def test_installed_trackers_write_nothing_unasked(follow, tmp_path):
    follow()
    assert {path.name for path in tmp_path.iterdir()} == {"suite.toml", "balancebench-store", "results"}


def test_tensorboard_reads_back_epochs_metrics_options_and_pictures(follow, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    follow(BALANCEBENCH_TENSORBOARD="runs")

    def events(*parts):
        (folder,) = tmp_path.joinpath("runs", "followed").glob("/".join(parts))
        accumulator = EventAccumulator(str(folder))
        accumulator.Reload()
        return accumulator

    training = events("train", "*none*seed_0-*")
    losses = training.Scalars("loss")
    assert [point.step for point in losses] == [0, 1, 2]
    assert all(point.value > 0 for point in losses)
    assert training.Scalars("cost/duration_seconds")[0].value > 0
    (options,) = training.Tensors("options/text_summary")
    assert b"| classifier.options.epochs | 3 |" in options.tensor_proto.string_val[0]
    score = events("score", "*none*seed_0-*")
    assert 0 <= score.Scalars("last/balanced_accuracy")[0].value <= 1
    assert len([tag for tag in score.Tags()["scalars"] if tag.startswith("last/class_accuracy/")]) == 10
    pictures = events("pictures")
    assert {tag.partition("/")[0] for tag in pictures.Tags()["images"]} == {"scores", "classes", "epochs", "confusion"}
    (picture,) = pictures.Images(pictures.Tags()["images"][0])
    assert picture.width > 100
    assert Image.open(io.BytesIO(picture.encoded_image_string)).getpixel((0, 0)) == (255, 255, 255)


def test_mlflow_reads_back_epochs_metrics_options_and_pictures_from_a_sqlite_store(follow, tmp_path):
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="sqlalchemy, which a SQLite store of mlflow needs, is not installed")
    from mlflow import MlflowClient

    follow(BALANCEBENCH_MLFLOW="sqlite:///mlflow.db")
    client = MlflowClient(tracking_uri="sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("followed")
    runs = {run.info.run_name.partition(" ")[0]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"train", "score", "pictures"}
    training = runs["train"]
    history = client.get_metric_history(training.info.run_id, "loss")
    assert [point.step for point in history] == [0, 1, 2]
    assert training.data.params["classifier.options.epochs"] == "3"
    assert training.info.status == "FINISHED"
    assert 0 <= runs["score"].data.metrics["last/balanced_accuracy"] <= 1
    kinds = {artefact.path for artefact in client.list_artifacts(runs["pictures"].info.run_id)}
    assert kinds == {"scores", "classes", "epochs", "confusion"}


def test_wandb_writes_offline_runs_with_epochs_metrics_options_and_pictures(follow, tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")

    follow(BALANCEBENCH_WANDB="offline")
    runs = {path: Path(path).read_bytes() for path in glob.glob("offline/wandb/offline-run-*/run-*.wandb")}
    (training,) = [content for content in runs.values() if b"train digits / long_tail / none" in content]
    assert training.count(b"loss") >= 3
    assert b"classifier.options.epochs" in training
    (score,) = [content for content in runs.values() if b"score digits / long_tail / none" in content]
    assert b"last/balanced_accuracy" in score
    assert len(runs) == 2 + 4  # and a picture of each kind
    assert len(glob.glob("offline/wandb/offline-run-*/files/media/images/*.png")) == 4


def test_a_tracker_that_is_asked_for_and_not_installed_is_one_line_and_the_run_goes_on(follow, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "wandb", None)
    follow(BALANCEBENCH_WANDB="offline")
    said = [entry.getMessage() for entry in caplog.records if entry.levelname == "WARNING"]
    line = (
        "BALANCEBENCH_WANDB is set, but wandb is not installed; install it with: "
        'pip install "balancebench-trackers[wandb]"; the run goes on'
    )
    assert [text for text in said if text.endswith(line)]
    assert not [entry for entry in caplog.records if entry.exc_info]


def test_epochs_of_several_trainings_of_one_step_are_told_apart(monkeypatch):
    told = []

    class Tracker:
        def __init__(self, where, suite):
            told.append((where, suite))

        def epoch(self, step, epoch, values):
            told.append((step.name, epoch, dict(values)))

    monkeypatch.setattr("balancebench_trackers.tracker.Listening", Tracker, raising=False)
    monkeypatch.setenv("LISTENING", "there")
    following = Following("listening", "LISTENING", "balancebench_trackers.tracker:Listening")
    following.balancebench_run_started(suite="gans", profile="cpu")
    for series in ("", "cat"):
        following.balancebench_epoch_ended(
            key="k", stage="train_generator", label="a / b", series=series, epoch=4, values={"loss": 0.5}
        )
    assert told == [
        ("there", "gans.cpu"),
        ("train_generator a / b", 4, {"loss": 0.5}),
        ("train_generator a / b", 4, {"cat/loss": 0.5}),
    ]


def test_undefined_metrics_and_matrices_are_left_out_and_classes_are_numbered():
    values = {"f1": 0.5, "recall": [0.25, None, 1.0], "confusion": [[1.0, 0.0], [0.0, 1.0]], "gap": None}
    assert flat_metrics("best_test", values) == {
        "best_test/f1": 0.5,
        "best_test/recall/0": 0.25,
        "best_test/recall/2": 1.0,
    }
