"""What a plugin declares (components), what it builds (the contracts), and what the harness hands to it (contexts).

Declaring is light: a component names an options model and a `build` function; the heavy import stands in the body
of `build`. Building happens inside the step that needs it, in a worker process.

Axis suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from balancebench.config import JSON, Compilation, Options

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from balancebench.data import DatasetSplits, LabelledImages
    from balancebench.training.plan import TrainingPlan

__all__ = [
    "KINDS",
    "Balancer",
    "BalancerComponent",
    "Base",
    "Classifier",
    "Component",
    "Cost",
    "Dataset",
    "DatasetComponent",
    "Evaluation",
    "EvaluationImages",
    "FeaturePredictor",
    "FitContext",
    "Imbalancer",
    "Kind",
    "LoadContext",
    "Metric",
    "MetricComponent",
    "MetricValue",
    "PartlyUndefined",
    "PlanContext",
    "Predictor",
    "Requirement",
    "RestorableClassifier",
    "SynthesisContext",
    "Undefined",
    "seed_for",
]

Kind = Literal["dataset", "imbalancer", "balancer", "classifier", "metric"]
KINDS: tuple[Kind, ...] = ("dataset", "imbalancer", "balancer", "classifier", "metric")

Requirement = Literal["cuda", "network", "classifier"]
"""What a component cannot do without: a CUDA device, the network, or (balancers) a classifier to train."""

ContractT = TypeVar("ContractT", covariant=True)
ValueT = TypeVar("ValueT")


def _nothing_outside(_options: Any) -> str | None:
    return None


def _no_extractor(_options: Any) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Component(Generic[ContractT]):
    """One thing a suite can name with `use`: a classifier or an imbalancer; the other kinds have subclasses.

    name: lower_snake_case, unique among components of its kind.
    summary: one line for `balancebench list`.
    options: the model its options are validated by.
    build: options -> the object that does the work; import heavy modules in its body.
    revision: raise it whenever the same options give other outputs; results made before count as missing.
    citation: the paper, one line, or "".
    requires: see `Requirement`.
    smoke: options that make it small enough for a test of seconds.
    seeded: False where the outcome never depends on the cell's seed, so that seeds share the step (imbalancers and
    balancers).
    outside_data: options -> a description of data from outside the suite that it brings in ("ImageNet-1k
    weights"), or None; shown as a mark on every row it touches.
    identity: options -> what tells its outside files apart where options cannot (a folder's file list, the revision
    of a model), part of the step's key. It is called while a suite is planned: it must be quick and import nothing
    heavy, and raises DataError (datasets) or the error of its kind where the files are not there.
    ready: options -> nothing; raises a BalancebenchError where something it needs from outside (weights of a model, a
    folder) is not to be had, and says how to get it. A run asks it for the components of the steps that are to run,
    before any of them does: it must be quick and import nothing heavy.
    """

    name: str
    summary: str
    options: type[Options]
    build: Callable[[Any], ContractT]
    revision: int = 1
    citation: str = ""
    requires: frozenset[Requirement] = frozenset()
    seeded: bool = True
    smoke: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    outside_data: Callable[[Any], str | None] = _nothing_outside
    identity: Callable[[Any], JSON] | None = None
    ready: Callable[[Any], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetComponent(Component[ContractT]):
    """A dataset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerComponent(Component[ContractT]):
    """A balancer. `synthesises`: its `synthesise` makes images, which become a cached step of their own."""

    synthesises: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricComponent(Component[ContractT]):
    """A metric. `higher_is_better`: None where it ranks nothing (a confusion matrix). `unit`: "%" shows 0..1 as per
    cent, "" shows the plain number, anything else stands behind the number ("s", "images", "MiB"). `needs_extractor`:
    options -> whether it calls `EvaluationImages.extractor`; the plan then trains that classifier first.
    """

    higher_is_better: bool | None = True
    unit: str = ""
    needs_extractor: Callable[[Any], bool] = _no_extractor


class Dataset(Protocol):
    """Loads images and labels."""

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return all splits, uint8; raise DataError where files are missing or broken."""
        ...


class Imbalancer(Protocol):
    """Chooses which training images stay. NumPy only."""

    def select(
        self, labels_N: NDArray[np.int64], class_names: Sequence[str], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return the indices of the images kept, each at most once, in any order."""
        ...


class Balancer(Protocol):
    """Turns an imbalanced training set into a training plan."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the images to add (not `train` itself), or None. Slow, cached, shared by all classifiers.

        Called only where the component says `synthesises`. Every returned image's origin is REPEATED, AUGMENTED or
        SYNTHETIC. Raises BalancerError where the training set does not allow it.
        """
        ...

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Return how to train. Cheap, and a function of its arguments alone (`context.rng` included)."""
        ...


class Predictor(Protocol):
    """A trained classifier."""

    def predict_logits(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits_NK float32 for uint8 images; a softmax over K gives probabilities."""
        ...


class Classifier(Protocol):
    """Trains on a plan."""

    def fit(self, plan: TrainingPlan, context: FitContext) -> Predictor:
        """Train from scratch; call `context.epoch_finished` after each epoch and `context.count` for the cost."""
        ...


@runtime_checkable
class FeaturePredictor(Predictor, Protocol):
    """A predictor that can be kept and gives features: what metrics of images need of it. Optional."""

    def features(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return features_ND float32, what the last layer reads, for uint8 images."""
        ...

    def save(self, folder: Path) -> None:
        """Write it to an existing folder: weights as safetensors, the rest as JSON, no pickle."""
        ...


@runtime_checkable
class RestorableClassifier(Classifier, Protocol):
    """A classifier whose predictors are FeaturePredictors. Optional."""

    def restore(self, folder: Path, device: str) -> FeaturePredictor:
        """Return the predictor that was saved to `folder`: the same logits, bit for bit on the same device."""
        ...


class Metric(Protocol):
    """A number, or numbers, from predictions (or from the images that a balancer made)."""

    def __call__(self, evaluation: Evaluation) -> MetricValue:
        """Return a float, one float a class (K,), a matrix (K, K), or Undefined with the reason.

        Never return NaN as the value; inside an array it marks a class that has none, and PartlyUndefined says why.
        """
        ...


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a cell cost, its synthesis included."""

    duration_seconds: float
    images_seen: int
    optimiser_steps: int
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationImages:
    """The images of a cell, for metrics of what a balancer made. Each is read when it is asked for.

    synthetic: what the cell's balancer made up (of origin SYNTHETIC alone; what the outermost balancer made, where one
    wraps another), or None where it made nothing up. kept: the imbalanced training set. full_train: the kept images
    and the withheld ones: a metric may look at them. test: the test images.
    used_withheld_data: whether the synthesis saw withheld images.
    extractor: the suite's classifier trained on full_train, one for all rows of a task and seed. Only where the
    metric's component says that it needs it; raises ClassifierError where it was not kept or gives no features.
    device: where to compute, such as "cpu" or "cuda:1".
    memory: what `once` remembers.
    """

    synthetic: Callable[[], LabelledImages | None]
    kept: Callable[[], LabelledImages]
    full_train: Callable[[], LabelledImages]
    test: Callable[[], LabelledImages]
    used_withheld_data: bool
    extractor: Callable[[], FeaturePredictor]
    device: str
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

    logits_NK: float32. labels_N: int64. train_counts_K: int64, the imbalanced training set before balancing.
    images: of the cell; None where there are only predictions.
    """

    logits_NK: NDArray[np.float32]
    labels_N: NDArray[np.int64]
    class_names: tuple[str, ...]
    train_counts_K: NDArray[np.int64]
    cost: Cost
    images: EvaluationImages | None = None


def seed_for(stream: str, seed: int, *parts: str | int) -> int:
    """Return the 63-bit seed of a named random stream; streams of different names or seeds are independent.

    It depends on nothing else (not on options, order or machine), so that cells of one task and seed stay paired.
    """
    text = "\0".join([stream, str(seed), *(str(part) for part in parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Progress(Protocol):
    """Reports how far a step is; cheap to call often."""

    def __call__(self, done: float, total: float, message: str = "") -> None:
        """Say that `done` of `total` units are done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadContext:
    """For datasets. scratch: an empty folder, deleted after the step. data_root: where downloads live by default."""

    data_root: Path
    scratch: Path
    progress: Progress
    logger: logging.Logger


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The balancer that another one wraps, with what it synthesised (None where it synthesises nothing).

    base: what the wrapped one wraps in turn.
    """

    balancer: Balancer
    synthetic: LabelledImages | None
    base: Base | None = None

    def plan(self, train: LabelledImages, rng: np.random.Generator) -> TrainingPlan:
        """Return the wrapped balancer's own plan for `train`."""
        return self.balancer.plan(train, self.synthetic, PlanContext(rng=rng, base=self.base))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanContext:
    """For `Balancer.plan`. rng: seeded by the cell's generator seed. base: the wrapped balancer, where there is one."""

    rng: np.random.Generator
    base: Base | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisContext:
    """For `Balancer.synthesise`.

    seed, rng: of the cell's generator stream. device: "cpu", "cuda" or "cuda:1", "mps".
    artefacts: a folder; what is written there (weights as safetensors, samples, curves) stays with the step.
    scratch: an empty folder, deleted after the step.
    checkpoints: a folder that stays when the step fails or is interrupted, and is there again at the next attempt, with
    the same options, seed and training images; deleted when the step is done. Write each file under another name and
    rename it: the process may end at any time.
    base: the wrapped balancer. train_classifier: for components that require "classifier": plan -> Predictor.
    withheld: returns the training images the imbalancer removed. **Calling it marks the record** and every row made
    from it.
    count(images, steps): add to the images seen and optimiser steps taken while a generator is trained.
    """

    seed: int
    rng: np.random.Generator
    device: str
    precision: Literal["fp32", "bf16"]
    deterministic: bool
    artefacts: Path
    scratch: Path
    checkpoints: Path
    progress: Progress
    logger: logging.Logger
    withheld: Callable[[], LabelledImages]
    train_classifier: Callable[[TrainingPlan], Predictor]
    count: Callable[[int, int], None]
    base: Base | None = None

    def torch_generator(self, device: str | None = None) -> torch.Generator:
        """Return a new torch generator on `device` (this context's by default), seeded by the generator stream."""
        import torch

        return torch.Generator(device=device or self.device).manual_seed(self.seed)


def _note_nothing(_name: str, _value: JSON) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class FitContext:
    """For `Classifier.fit`.

    seed: of the cell's classifier stream; initialise and shuffle from it and from nothing else.
    epoch_finished(epoch, predictor, values): call after each epoch (numbered from 0) with a predictor for the state
    of training and any values worth a curve ({"loss": 0.7}); it returns at once unless predictions are wanted.
    count(images, steps): add to the images seen and optimiser steps taken.
    compilation: whether to use torch.compile: where it pays ("auto"), "always" or "never".
    note(name, value): write into the record's provenance how the step was computed, where that changes no result.
    """

    seed: int
    device: str
    precision: Literal["fp32", "bf16"]
    deterministic: bool
    progress: Progress
    logger: logging.Logger
    epoch_finished: Callable[[int, Predictor, Mapping[str, float]], None]
    count: Callable[[int, int], None]
    compilation: Compilation = "auto"
    note: Callable[[str, JSON], None] = _note_nothing
