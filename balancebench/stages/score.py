"""Stage `score`: metrics from stored logits and stored images. Nothing is trained here, so new metrics are cheap.

A metric's value is computed once for what it reads: of predictions once for each training and report, of images once
for what the balancer made, whatever classifiers are trained on it.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from balancebench.artefacts.costs import cell_cost
from balancebench.artefacts.scores import (
    AgainstGuessing,
    CellOutcomes,
    CellScores,
    Outcome,
    ReportScores,
    Score,
    write_scores,
)
from balancebench.artefacts.splits import read_test_labels
from balancebench.artefacts.subset import Subset
from balancebench.artefacts.training_result import TrainingResult
from balancebench.classification import predicted_classes
from balancebench.config import JSON
from balancebench.evaluation import Evaluation, Report
from balancebench.stages.cell_images import cell_images
from balancebench.stages.measuring import Scorer, Scoring
from balancebench.stages.workplace import Workplace
from balancebench.step import ScoreInputs, input_keys

__all__ = ["run_score"]


def run_score(workplace: Workplace) -> None:
    """Compute every metric for every report, and keep which test images were predicted right."""
    inputs = workplace.inputs(ScoreInputs)
    subset = Subset.read(workplace.store, inputs.subset, inputs.dataset)
    training = TrainingResult.read(workplace.store, inputs.training)
    labels_N = read_test_labels(workplace.store, inputs.dataset)
    classes = subset.splits.train
    cost = cell_cost(workplace.record(inputs.training), inputs.balancer, workplace.store.read_done)
    of_data = {"dataset": workplace.digest(inputs.dataset), "subset": workplace.digest(inputs.subset)}
    of_training: dict[str, JSON] = {**of_data, "training": workplace.digest(inputs.training), "cost": asdict(cost)}
    made_by: list[JSON] = [
        [workplace.digest(key), workplace.record(key).used_withheld_data] for key in input_keys(inputs.balancer)
    ]
    no_predictions = Evaluation(
        logits_NK=np.empty((0, classes.class_count), dtype=np.float32),
        labels_N=np.empty(0, dtype=np.int64),
        class_names=classes.class_names,
        superclass_K=classes.superclass_K,
        train_counts_K=subset.counts_K,
        cost=cost,
    )
    of_images = replace(no_predictions, images=cell_images(workplace, subset, inputs, labels_N))

    def read_by(metric: Scoring, report: Report) -> JSON:
        if metric.reads == "predictions":
            return {**of_training, "report": report}
        extractor = inputs.extractor if metric.needs_extractor else None
        restored = workplace.step.restored.get("balancer")
        return {
            **of_data,
            "balancer": None if restored is None else restored.identity,
            "made_by": made_by,
            "extractor": None if extractor is None else workplace.digest(extractor),
        }

    last_epoch = len(training.description.curves) - 1
    scores: CellScores = {}
    outcomes: CellOutcomes = {}
    with Scorer(workplace, classes.class_count) as scorer:
        for report in workplace.step.settings["reports"]:
            logits_NK = np.array(training.logits_NK[report])
            of_predictions = replace(no_predictions, logits_NK=logits_NK, labels_N=labels_N)
            outcomes[report] = Outcome.of(labels_N, predicted_classes(logits_NK), classes.class_count)
            metrics: dict[str, Score] = {}
            for metric in scorer.metrics:
                evaluation = of_predictions if metric.reads == "predictions" else of_images
                metrics[metric.key] = scorer.score(metric, read_by(metric, report), evaluation)
            scores[report] = ReportScores(
                epoch=training.description.best_epochs.get(report, last_epoch),
                searched_from=training.description.searched_from.get(report, 0),
                metrics=metrics,
                guessing=AgainstGuessing.of(outcomes[report].confusion_KK(classes.class_count)),
            )
    write_scores(workplace.results, scores, outcomes)
