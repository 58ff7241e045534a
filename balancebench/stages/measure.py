"""Stage `measure`: metrics of a training subset, computed once for all balancers that are trained on it."""

from __future__ import annotations

from balancebench.artefacts.scores import write_measures
from balancebench.artefacts.subset import Subset
from balancebench.config import JSON
from balancebench.evaluation import SubsetEvaluation
from balancebench.stages.measuring import Scorer
from balancebench.stages.workplace import Workplace
from balancebench.step import MeasureInputs

__all__ = ["run_measure"]


def run_measure(workplace: Workplace) -> None:
    """Compute every metric of the subset."""
    inputs = workplace.inputs(MeasureInputs)
    subset = Subset.read(workplace.store, inputs.subset, inputs.dataset)
    reads: dict[str, JSON] = {"dataset": workplace.digest(inputs.dataset), "subset": workplace.digest(inputs.subset)}

    evaluation = SubsetEvaluation(
        train=subset.train,
        test_images_NCHW=subset.test_images_NCHW,
        device=workplace.device,
        cached=workplace.store.cached,
    )
    with Scorer(workplace, len(subset.splits.train.class_names)) as scorer:
        measures = {metric.key: scorer.score(metric, reads, evaluation) for metric in scorer.metrics}
    write_measures(workplace.results, measures)
