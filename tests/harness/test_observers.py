"""Observing plugins hear of a run, its epochs, scores, records and pictures, whichever executor runs the steps."""

import math
import os
import signal
import time

import pytest

from balancebench import DataError, Record, hookimpl
from balancebench.execution.executor import EpochEnded
from balancebench.execution.observers import Observers
from balancebench.synthesis.curves import Curves

ONE_SEED = {"seeds = [0, 1]": "seeds = [0]"}
THREE_EPOCHS = {'use = "means"': 'use = "means"\nepochs = 3', **ONE_SEED}


class Everything:
    """Keeps all that it is told, in order."""

    def __init__(self):
        self.told = []

    @hookimpl
    def balancebench_run_started(self, suite, title, profile, steps):
        self.told.append(("run started", suite, steps))

    @hookimpl
    def balancebench_run_ended(self, suite, interrupted):
        self.told.append(("run ended", suite, interrupted))

    @hookimpl
    def balancebench_epoch_ended(self, key, stage, label, series, epoch, values):
        self.told.append(("epoch", stage, series, epoch, dict(values)))

    @hookimpl
    def balancebench_cell_scored(self, key, label, report, values):
        self.told.append(("scored", report, dict(values)))

    @hookimpl
    def balancebench_step_finished(self, key, stage, status, record):
        self.told.append(("finished", stage, status, record))

    @hookimpl
    def balancebench_picture_drawn(self, path, kind, title, caption):
        self.told.append(("picture", path, kind, title))

    def of(self, kind):
        return [event[1:] for event in self.told if event[0] == kind]


@pytest.fixture
def observer(fakes):
    observer = Everything()
    fakes.hooks.register(observer, "everything")
    return observer


@pytest.mark.parametrize("jobs", [0, 1])
def test_epochs_of_a_classifier_are_told_once_each_and_before_its_step_ends(harness, observer, jobs):
    plan = harness.plan(replace=THREE_EPOCHS)
    assert not harness.run(plan, jobs=jobs).failed
    trainings = sum(step.stage == "train" for step in plan.steps.values())
    epochs = observer.of("epoch")
    assert len(epochs) == 3 * trainings
    assert epochs[:3] == [("train", "", epoch, {"loss": pytest.approx(1 / (epoch + 1))}) for epoch in range(3)]
    kinds = [event[:2] for event in observer.told if event[0] in ("epoch", "finished")]
    assert kinds.index(("epoch", "train")) < kinds.index(("finished", "train"))
    assert observer.of("run started") == [("fakes", len(plan.steps))]
    assert observer.told[-1] == ("run ended", "fakes", False)


@pytest.mark.parametrize("jobs", [0, 1])
def test_epochs_of_a_classifier_come_while_it_is_trained_here_and_from_a_worker(harness, observer, monkeypatch, jobs):
    monkeypatch.setattr(Observers, "_tell_what_is_left", lambda self, step: None)  # what comes at the end
    harness.run(harness.plan(replace=THREE_EPOCHS), jobs=jobs)
    assert [event[2] for event in observer.of("epoch")][:3] == [0, 1, 2]


def test_a_finished_step_is_told_with_its_record(harness, observer):
    plan = harness.plan(replace=ONE_SEED)
    harness.run(plan, jobs=0)
    for stage, status, record in observer.of("finished"):
        assert isinstance(record, Record)
        assert (record.stage, record.status) == (stage, status)
        assert record == harness.store.read(record.key)
        assert record.files


def test_a_failed_step_is_told_with_its_failure_and_what_it_stops_without_a_record(harness, observer):
    plan = harness.plan('[[balancer]]\nuse = "misbehaving"\nhow = "raise"\n', replace=ONE_SEED)
    harness.run(plan, jobs=0)
    ends = {status: record for _, status, record in observer.of("finished") if status != "done"}
    assert ends["failed"].failure.message
    assert ends["skipped"] is None


def test_the_metrics_of_a_scored_cell_are_told_by_the_suites_labels(harness, observer):
    plan = harness.plan(replace={'metrics = ["hits"]': 'metrics = ["hits", "class_accuracy"]', **ONE_SEED})
    harness.run(plan, jobs=0)
    scored = observer.of("scored")
    assert len(scored) == len(plan.cells)
    report, values = scored[0]
    assert (report, set(values)) == ("last", {"hits", "class_accuracy"})
    assert isinstance(values["hits"], float)
    assert len(values["class_accuracy"]) == 3


def test_curves_of_generators_are_told_with_the_series_they_are_of_when_the_step_ends(harness, observer, monkeypatch):
    import balancebench_fakes

    train_generator = balancebench_fakes.Generating.train_generator

    def with_curves(self, train, context):
        Curves(context.artefacts).add(0, generator_loss=0.5)
        Curves(context.artefacts, "curves_cat").add(0, generator_loss=0.25, fid=3.0)
        return train_generator(self, train, context)

    monkeypatch.setattr(balancebench_fakes.Generating, "train_generator", with_curves)
    harness.run(harness.plan('[[balancer]]\nuse = "generating"\n', replace=ONE_SEED), jobs=0)
    assert [event for event in observer.of("epoch") if event[0] == "train_generator"] == [
        ("train_generator", "", 0, {"generator_loss": 0.5}),
        ("train_generator", "cat", 0, {"generator_loss": 0.25, "fid": 3.0}),
    ]


def test_an_epoch_that_a_step_reports_again_because_it_was_run_again_is_told_once(harness, observer, fakes):
    plan = harness.plan(replace=ONE_SEED)
    observers = Observers(fakes.hooks.hook, plan, harness.store)
    key = next(step.key for step in plan.steps.values() if step.stage == "train")
    for epoch in (0, 1, 0, 1, 2):
        observers.epoch_ended(EpochEnded(key, epoch, {"loss": math.nan}))
    assert [event[2] for event in observer.of("epoch")] == [0, 1, 2]


def test_epochs_that_an_executor_did_not_tell_come_when_the_step_ended(harness, observer, monkeypatch):
    monkeypatch.setattr(Observers, "epoch_ended", lambda self, event: None)
    harness.run(harness.plan(replace=THREE_EPOCHS), jobs=0)
    assert [event[2] for event in observer.of("epoch")][:3] == [0, 1, 2]


def test_pictures_are_told_as_they_are_written(call, suite_file, observer, tmp_path):
    code, _, err = call("run", suite_file(replace=ONE_SEED), "--jobs", "0")
    assert code == 0, err
    pictures = observer.of("picture")
    assert [kind for _, kind, _ in pictures] == ["scores", "classes", "epochs", "confusion"]
    assert all(path.is_file() and path.parent.name == "pictures" for path, _, _ in pictures)
    call("leaderboard", suite_file(replace=ONE_SEED))
    assert len(observer.of("picture")) == 4  # nothing was new


def test_an_observer_that_fails_keeps_nothing_from_the_others_and_a_mendable_failure_is_one_line(
    harness, observer, fakes, caplog
):
    class Failing:
        @hookimpl
        def balancebench_step_finished(self, stage):
            if stage == "load":
                raise DataError("there is no server at this address")

    fakes.hooks.register(Failing(), "told first")
    plan = harness.plan(replace=ONE_SEED)
    harness.run(plan, jobs=0)
    assert len(observer.of("finished")) == len(plan.steps)
    assert [(entry.getMessage(), entry.exc_info) for entry in caplog.records if entry.levelname == "WARNING"] == [
        ("told first: there is no server at this address; the run goes on", None)
    ]


def test_an_observer_that_fails_at_every_step_is_named_once_with_its_traceback(harness, observer, fakes, caplog):
    class Failing:
        @hookimpl
        def balancebench_step_finished(self, stage):
            raise ZeroDivisionError(stage)

    fakes.hooks.register(Failing(), "dividing")
    plan = harness.plan(replace=ONE_SEED)
    assert harness.run(plan, jobs=0).ran == len(plan.steps)
    (entry,) = [entry for entry in caplog.records if entry.exc_info]
    assert "observing plugin dividing failed in balancebench_step_finished" in entry.getMessage()
    assert len(observer.of("finished")) == len(plan.steps) > 1


def test_ctrl_c_while_an_observer_is_told_ends_the_run_as_the_users(harness, fakes, caplog):
    class Pressing:
        @hookimpl
        def balancebench_step_finished(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)

    fakes.hooks.register(Pressing(), "pressing")
    outcome = harness.run(harness.plan(replace=ONE_SEED), jobs=0)
    assert (outcome.interrupted, outcome.ran) == (True, 1)
    assert not [entry for entry in caplog.records if "pressing" in entry.getMessage()]


@pytest.mark.parametrize("curves", ['[{"epoch": "first"}]', '[{"loss": 1.0}]', "[3]", '[{"epoch": Infinity}]'])
def test_curves_that_a_plugin_wrote_otherwise_than_meant_are_one_line_and_the_step_is_told(
    harness, observer, monkeypatch, caplog, curves
):
    import balancebench_fakes

    train_generator = balancebench_fakes.Generating.train_generator

    def with_curves(self, train, context):
        (context.artefacts / "curves.json").write_text(f'{{"curves": {curves}}}', encoding="utf-8")
        return train_generator(self, train, context)

    monkeypatch.setattr(balancebench_fakes.Generating, "train_generator", with_curves)
    plan = harness.plan('[[balancer]]\nuse = "generating"\n', replace=ONE_SEED)
    harness.run(plan, jobs=0, stages=frozenset({"load", "imbalance", "train_generator"}))
    assert ("train_generator", "done") in [event[:2] for event in observer.of("finished")]
    (entry,) = [entry for entry in caplog.records if "cannot be read for observers" in entry.getMessage()]
    assert entry.exc_info is None
