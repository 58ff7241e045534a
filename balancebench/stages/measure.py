"""Stage `measure`: metrics of a training subset, computed once for all balancers that are trained on it."""

from __future__ import annotations

from balancebench.artefacts.scores import write_measures
from balancebench.artefacts.subset import Subset
from balancebench.evaluation import SubsetEvaluation
from balancebench.stages.metrics import built_metrics, scored
from balancebench.stages.workplace import Workplace
from balancebench.step import MeasureInputs

__all__ = ["run_measure"]


def run_measure(workplace: Workplace) -> None:
    """Compute every metric of the subset."""
    inputs = workplace.inputs(MeasureInputs)
    subset = Subset.read(workplace.store, inputs.subset, inputs.dataset)
    evaluation = SubsetEvaluation(
        train=subset.train,
        test_images_NCHW=subset.test_images_NCHW,
        device=workplace.device,
        cached=workplace.store.cached,
    )
    write_measures(
        workplace.results,
        {
            label: scored(label, metric, evaluation, subset.train.class_count)
            for label, metric in built_metrics(workplace).items()
        },
    )
