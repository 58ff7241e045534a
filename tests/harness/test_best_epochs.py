"""The best epoch of a row is an epoch of what the row is about, and it is chosen by the right score."""

import numpy as np
import pytest

from balancebench.artefacts.scores import read_scores
from balancebench.artefacts.splits import read_test_labels
from balancebench.artefacts.training_result import TrainingResult
from balancebench.classification import balanced_accuracy_of, confusion_counts
from balancebench.leaderboard.columns import remark_lines
from balancebench.leaderboard.results_in_store import collect
from balancebench.leaderboard.table import build_leaderboard
from balancebench.stages.judge import judge_validation

TWO_STAGES = '[[balancer]]\nuse = "two_stage"\nreset_head = {reset}\n'
REPORTS = {
    "[run]": '[run]\nreport = ["last", "best_test"]',
    # The first epoch is right where the others are wrong: of six epochs it is the best one by far.
    'use = "means"': 'use = "means"\nepochs = 6\nepoch_factors = [1, -1, -1, -1, -1, -1]',
}


def training_of(harness, plan, balancer):
    cell = next(cell for cell in plan.cells if cell.balancer == balancer)
    return TrainingResult.read(harness.store, cell.steps["train"]), cell


@pytest.mark.parametrize(("reset", "first"), [("true", 3), ("false", 0)])
def test_the_best_test_epoch_is_searched_from_the_reset_of_the_head_on(harness, reset, first):
    plan = harness.plan(TWO_STAGES.format(reset=reset), replace=REPORTS)
    assert not harness.run(plan, jobs=0).failed
    training, cell = training_of(harness, plan, "two_stage")
    assert training.description.searched_from == {"best_test": first}
    assert training.description.best_epochs == {"best_test": first}
    scores = read_scores(harness.store, cell.steps["score"], {})["best_test"]
    assert (scores.epoch, scores.searched_from) == (first, first)
    floor, _ = training_of(harness, plan, "none")
    assert floor.description.best_epochs == {"best_test": 0}


def test_the_table_says_from_which_epoch_on_the_best_was_searched(harness):
    plan = harness.plan(TWO_STAGES.format(reset="true"), replace=REPORTS)
    assert not harness.run(plan, jobs=0).failed
    board = build_leaderboard(plan.suite, collect(plan, harness.store))
    last, best = (remark_lines(table) for table in board.tables)
    (line,) = [line for line in best if "Best epochs" in line]
    assert line.startswith("Best epochs of two_stage are searched from epoch 4 on")
    assert not [line for line in last if "Best epochs" in line]


def test_a_classifier_that_says_no_phases_gets_no_best_epoch_of_two_stages(harness):
    silent = {**REPORTS, 'use = "means"': REPORTS['use = "means"'] + "\nsays_phases = false"}
    outcome = harness.run(harness.plan(TWO_STAGES.format(reset="true"), replace=silent), jobs=0)
    causes = {entry.message for entry in outcome.failed if entry.status == "failed"}
    assert len(causes) == 1
    assert "context.phase_started" in causes.pop()
    outcome = harness.run(harness.plan(TWO_STAGES.format(reset="false"), replace=silent), jobs=0)
    assert not outcome.failed


@pytest.mark.parametrize("jobs", [0, 1])
def test_a_worker_learns_from_the_main_process_how_good_its_test_logits_are(harness, jobs):
    plan = harness.plan(replace=REPORTS)
    assert not harness.run(plan, jobs=jobs).failed
    training, cell = training_of(harness, plan, "none")
    labels_N = read_test_labels(harness.store, cell.steps["load"])
    accuracies_E = (training.epoch_predictions_EN["test"] == labels_N).mean(axis=1)
    assert accuracies_E.argmax() == 0
    assert (training.logits_NK["best_test"].argmax(axis=1) == labels_N).mean() == accuracies_E.max()
    assert training.description.epoch_losses["test"][0] < training.description.epoch_losses["test"][1]


def test_validation_images_judge_by_balanced_accuracy():
    labels_N = np.array([0] * 9 + [1])
    always_first_NK = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (10, 1))
    judgement = judge_validation(always_first_NK, labels_N)
    assert judgement.score == 0.5
    assert judgement.score == balanced_accuracy_of(confusion_counts(labels_N, np.zeros(10, dtype=np.int64), 2))


def test_best_validation_is_chosen_by_balanced_accuracy(harness):
    """Epoch 0 has the higher accuracy on a validation set of mostly one class, epoch 1 the higher balanced accuracy."""
    from balancebench.stages.epoch_track import EpochTrack

    labels_N = np.array([0] * 8 + [1, 1])
    plain_NK = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (10, 1))
    balanced_NK = plain_NK.copy()
    balanced_NK[[0, 1, 2, 8, 9]] = [0.0, 1.0]  # accuracy 0.7 after 0.8, balanced accuracy 0.81 after 0.5
    track = EpochTrack("validation", lambda logits_NK: judge_validation(logits_NK, labels_N))
    for epoch, logits_NK in enumerate([plain_NK, balanced_NK]):
        track.add(epoch, logits_NK, logits_NK)
    assert track.best_epoch == 1
