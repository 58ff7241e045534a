"""What plugins implement (the contracts), and what the harness hands to them (the contexts).

`balancebench.evaluation` holds the same for metrics.

Axis suffixes: N images, B images of a batch, C channels, H rows, W columns, D features, K classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from balancebench.cached import Cached, cached_nowhere
from balancebench.checkpoints import Checkpoints
from balancebench.config import JSON, Compilation, Options
from balancebench.errors import BalancerError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from balancebench.data import DatasetSplits, LabelledImages
    from balancebench.training_plan import TrainingPlan

__all__ = [
    "Balancer",
    "Base",
    "Classifier",
    "Dataset",
    "FeaturePredictor",
    "FitContext",
    "ImageGenerator",
    "Imbalancer",
    "LoadContext",
    "PlanContext",
    "Predictor",
    "Progress",
    "RestorableClassifier",
    "SynthesisContext",
    "TrainsGenerator",
]

OptionsT = TypeVar("OptionsT", bound=Options)


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


class Balancer(Generic[OptionsT]):
    """Turns an imbalanced training set into a training plan. A method is a subclass with its options.

    class Mine(Balancer[MineOptions]):
        def synthesise(self, train, context): ...

    What a subclass leaves out makes no images, and trains on the training set and the synthetic images together.
    """

    def __init__(self, options: OptionsT) -> None:
        self.options = options

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the images to add (not `train` itself), or None. Slow, cached, shared by all classifiers.

        Called only where the component says `synthesises`. Every returned image's origin is REPEATED, AUGMENTED or
        SYNTHETIC. Raises BalancerError where the training set does not allow it.
        """
        return None

    def plan(self, train: LabelledImages, synthetic: LabelledImages | None, context: PlanContext) -> TrainingPlan:
        """Return how to train. Cheap, and a function of its arguments alone (`context.rng` included)."""
        from balancebench.data import concatenate
        from balancebench.training_plan import Phase, TrainingPlan

        images = train if synthetic is None else concatenate([train, synthetic])
        return TrainingPlan(phases=(Phase(images=images),))


class ImageGenerator(Protocol):
    """A trained generator."""

    def draw(self, labels_B: NDArray[np.int64], random: torch.Generator) -> NDArray[np.uint8]:
        """Return images_BCHW, one of each label in that order, of the shape of the training images.

        random: on the device that the generator was restored to; all noise is drawn from it. Raises BalancerError
        where the generator has not learnt a class that is asked for.
        """
        ...


@runtime_checkable
class TrainsGenerator(Protocol):
    """A balancer whose images come from a network that is trained once and drawn from often.

    `balancebench.synthesis.generator_balancer.GeneratorBalancer` is the base class of such balancers.
    """

    def train_generator(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Train, and leave in `context.artefacts` all that `restore_generator` needs: weights as safetensors."""
        ...

    def restore_generator(self, folder: Path, device: str) -> ImageGenerator:
        """Return the generator from the artefacts of its training."""
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


class Progress(Protocol):
    """Reports how far a step is; cheap to call often."""

    def __call__(self, done: float, total: float, message: str = "") -> None:
        """Say that `done` of `total` units are done."""
        ...


def _note_nothing(_name: str, _value: JSON) -> None:
    return


def _warn_nobody(_text: str) -> None:
    return


def _nothing_counted() -> tuple[int, int]:
    return 0, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadContext:
    """For datasets. scratch: an empty folder, deleted after the step. data_root: where downloads live by default.

    note(name, value): write into the record's provenance how the images were loaded.
    warn(text): tell readers of every result made from these images, in one line, what they must know of them.
    """

    data_root: Path
    scratch: Path
    progress: Progress
    logger: logging.Logger
    note: Callable[[str, JSON], None] = _note_nothing
    warn: Callable[[str], None] = _warn_nobody


def _no_generator() -> ImageGenerator:
    raise BalancerError("there is no trained generator to draw from: its component does not say trains_generator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The balancer that another one wraps, with what it synthesised (None where it synthesises nothing).

    base: what the wrapped one wraps in turn. generator: returns the generator that the wrapped one trained; raises
    BalancerError where it trains none.
    """

    balancer: Balancer[Any]
    synthetic: LabelledImages | None
    base: Base | None = None
    generator: Callable[[], ImageGenerator] = _no_generator

    def plan(self, train: LabelledImages, rng: np.random.Generator) -> TrainingPlan:
        """Return the wrapped balancer's own plan for `train`."""
        return self.balancer.plan(train, self.synthetic, PlanContext(rng=rng, base=self.base))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanContext:
    """For `Balancer.plan`. rng: seeded by the cell's generator seed. base: the wrapped balancer, where there is one."""

    rng: np.random.Generator
    base: Base | None = None


def _no_validation() -> LabelledImages | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisContext:
    """For `Balancer.synthesise` and `train_generator`.

    seed, rng: of the cell's generator stream. device: "cpu", "cuda" or "cuda:1", "mps".
    artefacts: a folder; what is written there (weights as safetensors, samples, curves) stays with the step.
    scratch: an empty folder, deleted after the step.
    checkpoints: what an interrupted attempt left for the next one, with the same options, seed and training images.
    generator: returns the generator that this balancer trained, in `synthesise` of components that say
    trains_generator; raises BalancerError elsewhere.
    validation: returns the validation images, or None where neither the suite nor the data set has any.
    cached: arrays computed once for the whole store.
    base: the wrapped balancer. train_classifier: for components that require "classifier": plan -> Predictor.
    withheld: returns the training images the imbalancer removed. **Calling it marks the record** and every row made
    from it.
    count(images, steps): add to the images seen and optimiser steps taken while a generator is trained.
    counted: returns images and steps counted so far, those of `train_classifier` included: what is saved with a state,
    and counted again by the attempt that goes on from it.
    warn(text): tell readers of every result made with these images, in one line, what they must know of them.
    """

    seed: int
    rng: np.random.Generator
    device: str
    precision: Literal["fp32", "bf16"]
    deterministic: bool
    artefacts: Path
    scratch: Path
    checkpoints: Checkpoints
    progress: Progress
    logger: logging.Logger
    withheld: Callable[[], LabelledImages]
    train_classifier: Callable[[TrainingPlan], Predictor]
    count: Callable[[int, int], None]
    counted: Callable[[], tuple[int, int]] = _nothing_counted
    warn: Callable[[str], None] = _warn_nobody
    generator: Callable[[], ImageGenerator] = _no_generator
    validation: Callable[[], LabelledImages | None] = _no_validation
    cached: Cached = cached_nowhere
    base: Base | None = None

    def torch_generator(self, device: str | None = None) -> torch.Generator:
        """Return a new torch generator on `device` (this context's by default), seeded by the generator stream."""
        import torch

        return torch.Generator(device=device or self.device).manual_seed(self.seed)


def _ignore_phase(_index: int) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class FitContext:
    """For `Classifier.fit`.

    seed: of the cell's classifier stream; initialise and shuffle from it and from nothing else.
    epoch_finished(epoch, predictor, values): call after each epoch (numbered from 0) with a predictor for the state
    of training and any values worth a curve ({"loss": 0.7}); it returns at once unless predictions are wanted.
    phase_started(index): call as each phase of the plan begins, counted from 0; not again where a saved state is inside
    it. Best epochs are searched from the last phase on that resets the head or restarts.
    count(images, steps): add to the images seen and optimiser steps taken.
    compilation: whether to use torch.compile: where it pays ("auto"), "always" or "never".
    note(name, value): write into the record's provenance how the step was computed, where that changes no result.
    checkpoints: where the state of a long training is saved between two steps, and found by the next attempt; None:
    nothing is saved. Whoever asks for the latest state goes on from it: what was counted, noted and reported up to then
    is counted, noted and reported already.
    """

    seed: int
    device: str
    precision: Literal["fp32", "bf16"]
    deterministic: bool
    progress: Progress
    logger: logging.Logger
    epoch_finished: Callable[[int, Predictor, Mapping[str, float]], None]
    count: Callable[[int, int], None]
    phase_started: Callable[[int], None] = _ignore_phase
    compilation: Compilation = "auto"
    note: Callable[[str, JSON], None] = _note_nothing
    checkpoints: Checkpoints | None = None
