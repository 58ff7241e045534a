"""What metrics implement, what they are handed and what they return.

Axis suffixes: N images, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

from balancebench.cached import Cached, cached_nowhere

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from balancebench.contracts import FeaturePredictor
    from balancebench.data import LabelledImages
    from balancebench.large_images import ImageRows

__all__ = [
    "Cost",
    "Evaluation",
    "EvaluationImages",
    "MeanOver",
    "Metric",
    "MetricValue",
    "PartlyUndefined",
    "Report",
    "SubsetEvaluation",
    "SubsetMetric",
    "Undefined",
]

ValueT = TypeVar("ValueT")

Report = Literal["last", "best_validation", "best_test"]
"""Which epoch's predictions are scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanOver:
    """Says that a metric is a mean of which test images are predicted right, and what counts the same in it.

    Its uncertainty by test images can then be told from which ones were. each: "image" is accuracy, "class" the mean
    recall of the classes that have test images. Of classes only those count that have from fewest_train to most_train
    training images before balancing (None is no bound) and, where class_name says one by name or id, that one.
    """

    each: Literal["image", "class"]
    fewest_train: int = 0
    most_train: int | None = None
    class_name: str | int | None = None


@dataclass(frozen=True, slots=True)
class Undefined:
    """A metric's value where it has none: shown as empty with its reason, never as 0."""

    reason: str


@dataclass(frozen=True, slots=True)
class PartlyUndefined:
    """One float a class, NaN where a class has none, with the reason."""

    values_K: NDArray[np.floating[Any]]
    reason: str


MetricValue: TypeAlias = "float | NDArray[np.floating[Any]] | NDArray[np.integer[Any]] | Undefined | PartlyUndefined"


class Metric(Protocol):
    """A number, or numbers, from predictions (or from the images that a balancer made)."""

    def __call__(self, evaluation: Evaluation, /) -> MetricValue:
        """Return a float, one float a class (K,), a matrix (K, K), or Undefined with the reason.

        Never return NaN as the value; inside an array it marks a class that has none, and PartlyUndefined says why.
        """
        ...


class SubsetMetric(Protocol):
    """A number, or numbers, from the images that are kept for training, before any balancing."""

    def __call__(self, evaluation: SubsetEvaluation, /) -> MetricValue:
        """Return as `Metric` does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a cell cost, its synthesis included; of a row, the means over its cells.

    classifier_images_seen: those of images_seen that the cell's classifier was trained on, a generator's training and a
    filter's classifier left out; None where records do not say.
    """

    duration_seconds: float
    images_seen: int | float
    optimiser_steps: int | float
    peak_memory_bytes: int | float
    classifier_images_seen: int | float | None = None


def _no_generator(_counts_K: NDArray[np.int64]) -> LabelledImages | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationImages:
    """The images of a cell, for metrics of what a balancer made. Each is read when it is asked for.

    synthetic: what the cell's balancer made up (of origin SYNTHETIC alone; what the outermost balancer made, where one
    wraps another), or None where it made nothing up. kept: the imbalanced training set. full_train: the kept images
    and the withheld ones: a metric may look at them. test: the test images.
    draw: counts_K -> so many new images of each class from the generator that the cell's balancer trained, the same at
    every call, or None where it trained none. They cost no training, and are not the images trained on.
    used_withheld_data: whether the synthesis saw withheld images.
    extractor: the suite's classifier trained on full_train, one for all rows of a task and seed. Only where the
    metric's component says that it needs it; raises ClassifierError where it was not kept or gives no features.
    extractor_key: of the step that trained it, or None; part of the identity of what is cached of its features.
    device: where to compute, such as "cpu" or "cuda:1".
    cached: arrays computed once for the whole store.
    memory: what `once` remembers.
    """

    synthetic: Callable[[], LabelledImages | None]
    kept: Callable[[], LabelledImages]
    full_train: Callable[[], LabelledImages]
    test: Callable[[], LabelledImages]
    used_withheld_data: bool
    extractor: Callable[[], FeaturePredictor]
    device: str
    draw: Callable[[NDArray[np.int64]], LabelledImages | None] = _no_generator
    extractor_key: str | None = None
    cached: Cached = cached_nowhere
    memory: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any])

    def once(self, key: Hashable, compute: Callable[[], ValueT]) -> ValueT:
        """Return compute(), computed once for all metrics and reports of a cell; `key` names it and all it depends on.

        Start the key with the name of your plugin.
        """
        if key not in self.memory:
            self.memory[key] = compute()
        return self.memory[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a metric sees: test logits and labels, the classes, and how many training images of each were kept.

    logits_NK: float32. labels_N: int64. superclass_K: for each class the name of its super-class, or None.
    train_counts_K: int64, the imbalanced training set before balancing. images: of the cell; None where there are only
    predictions.
    """

    logits_NK: NDArray[np.float32]
    labels_N: NDArray[np.int64]
    class_names: tuple[str, ...]
    train_counts_K: NDArray[np.int64]
    cost: Cost
    superclass_K: tuple[str, ...] | None = None
    images: EvaluationImages | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetEvaluation:
    """What a metric of the training subset sees: the images kept, before any balancing, and the test images.

    test_images_NCHW: uint8, without their labels. device, cached: as in `EvaluationImages`.
    """

    train: LabelledImages
    test_images_NCHW: NDArray[np.uint8] | ImageRows
    device: str
    cached: Cached = cached_nowhere
