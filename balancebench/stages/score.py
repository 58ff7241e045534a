"""Stage `score`: metrics from stored logits and stored images. Nothing is trained here, so new metrics are cheap."""

from __future__ import annotations

import numpy as np

from balancebench.artefacts.costs import cell_cost
from balancebench.artefacts.scores import AgainstGuessing, CellOutcomes, CellScores, Outcome, ReportScores, write_scores
from balancebench.artefacts.splits import read_test_labels
from balancebench.artefacts.subset import Subset
from balancebench.artefacts.training_result import TrainingResult
from balancebench.classification import predicted_classes
from balancebench.evaluation import Evaluation
from balancebench.stages.cell_images import cell_images
from balancebench.stages.metrics import built_metrics, scored
from balancebench.stages.workplace import Workplace
from balancebench.step import ScoreInputs

__all__ = ["run_score"]


def run_score(workplace: Workplace) -> None:
    """Compute every metric for every report, and keep which test images were predicted right."""
    inputs = workplace.inputs(ScoreInputs)
    subset = Subset.read(workplace.store, inputs.subset, inputs.dataset)
    training = TrainingResult.read(workplace.store, inputs.training)
    labels_N = read_test_labels(workplace.store, inputs.dataset)
    classes = subset.splits.train
    images = cell_images(workplace, subset, inputs, labels_N)
    cost = cell_cost(workplace.record(inputs.training), inputs.balancer, workplace.store.read_done)
    metrics = built_metrics(workplace)
    last_epoch = len(training.description.curves) - 1
    scores: CellScores = {}
    outcomes: CellOutcomes = {}
    for report in workplace.step.settings["reports"]:
        logits_NK = np.array(training.logits_NK[report])
        evaluation = Evaluation(
            logits_NK=logits_NK,
            labels_N=labels_N,
            class_names=classes.class_names,
            superclass_K=classes.superclass_K,
            train_counts_K=subset.counts_K,
            cost=cost,
            images=images,
        )
        outcomes[report] = Outcome.of(labels_N, predicted_classes(logits_NK), classes.class_count)
        scores[report] = ReportScores(
            epoch=training.description.best_epochs.get(report, last_epoch),
            searched_from=training.description.searched_from.get(report, 0),
            metrics={
                label: scored(label, metric, evaluation, classes.class_count) for label, metric in metrics.items()
            },
            guessing=AgainstGuessing.of(outcomes[report].confusion_KK(classes.class_count)),
        )
    write_scores(workplace.results, scores, outcomes)
