"""Computes the metrics of a step, each once for what it reads, and says which one failed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from balancebench.artefacts.scores import Score, score_json, score_of, score_read
from balancebench.component import MetricComponent
from balancebench.config import JSON
from balancebench.data import LabelledImages
from balancebench.errors import BalancebenchError
from balancebench.evaluation import Evaluation, SubsetEvaluation
from balancebench.stages.input_files import handed_out
from balancebench.stages.workplace import Workplace
from balancebench.step import ComponentReference, metric_key
from balancebench.store.kept_values import keep_values, kept_values

__all__ = ["Scorer", "Scoring", "scored"]


class Scoring:
    """A metric of a step: what it declares, and how it is built when it is first computed."""

    def __init__(self, workplace: Workplace, label: str, reference: ComponentReference) -> None:
        self.label = label
        self.key = metric_key(reference)
        self._workplace = workplace
        self._reference = reference
        component = workplace.registry.find("metric", reference.component).component
        assert isinstance(component, MetricComponent)  # noqa: S101 - the registry has checked it
        self.reads = component.of
        self.needs_extractor = component.needs_extractor(component.options.model_validate(reference.options))
        self._metric: Any = None

    def __call__(self, evaluation: Evaluation | SubsetEvaluation, class_count: int) -> Score:
        """Return its value."""
        if self._metric is None:
            self._metric = self._workplace.build_from("metric", self._reference).object
        return scored(self.label, self._metric, evaluation, class_count)


def scored(label: str, metric: Any, evaluation: Evaluation | SubsetEvaluation, class_count: int) -> Score:
    """Return the value of a metric of `class_count` classes; what it raises names it, as does what it wrote into."""
    try:
        with handed_out("it", *_arrays(evaluation)):
            return score_of(metric(evaluation), class_count)
    except BalancebenchError as error:
        raise type(error)(f"metric {label}: {error}") from error
    except Exception as error:
        raise BalancebenchError(f"metric {label}: {type(error).__name__}: {error}") from error


class Scorer(AbstractContextManager["Scorer"]):
    """Scores the metrics of a step. A value from the same inputs that is kept is not computed again.

    A context: new values are kept when it ends. metrics: in the suite's order.
    """

    def __init__(self, workplace: Workplace, class_count: int) -> None:
        self.metrics = [Scoring(workplace, label, reference) for label, reference in workplace.step.metrics.items()]
        self._store = workplace.store
        self._class_count = class_count
        self._known: dict[str, tuple[JSON, dict[str, JSON]]] = {}  # what is read, as text -> that, and its values
        self._new: dict[str, dict[str, JSON]] = {}

    def score(self, metric: Scoring, reads: JSON, evaluation: Evaluation | SubsetEvaluation) -> Score:
        """Return a metric's value. reads: all that decides it but the metric itself."""
        name = repr(reads)
        if name not in self._known:
            self._known[name] = reads, kept_values(self._store, reads)
        known = self._known[name][1]
        if metric.key not in known:
            known[metric.key] = score_json(metric(evaluation, self._class_count))
            self._new.setdefault(name, {})[metric.key] = known[metric.key]
        return score_read(known[metric.key])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, values in self._new.items():
            keep_values(self._store, self._known[name][0], values)


def _arrays(evaluation: Evaluation | SubsetEvaluation) -> tuple[LabelledImages | NDArray[Any], ...]:
    if isinstance(evaluation, SubsetEvaluation):
        return (evaluation.train,)
    return evaluation.logits_NK, evaluation.labels_N, evaluation.train_counts_K
