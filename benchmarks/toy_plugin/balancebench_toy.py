"""A plugin whose steps take next to no time, so that what remains is the harness's. It needs NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from balancebench import Balancer, BalancerComponent, Classifier, Component, Dataset, Options, hookimpl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from balancebench import DatasetSplits, FitContext, LabelledImages, LoadContext, SynthesisContext, TrainingPlan

CLASSES = 10


class NumberedOptions(Options):
    """One number, to sweep over."""

    number: int = Field(default=0, ge=0, description="tells one entry from another")


@dataclass(frozen=True)
class Speckles:
    """Ten classes of 4x4 noise, 20 images each to train on and 5 to test."""

    options: NumberedOptions

    def load(self, context: LoadContext) -> DatasetSplits:
        """Draw them."""
        from balancebench import DatasetSplits

        return DatasetSplits(train=self._split(20, 0), test=self._split(5, 1))

    def _split(self, count: int, seed: int) -> LabelledImages:
        import numpy as np

        from balancebench import LabelledImages

        rng = np.random.default_rng([self.options.number, seed])
        return LabelledImages(
            images_NCHW=rng.integers(0, 256, (CLASSES * count, 1, 4, 4), dtype=np.uint8),
            labels_N=np.repeat(np.arange(CLASSES), count),
            class_names=tuple(f"class {label}" for label in range(CLASSES)),
        )


class Repeating(Balancer[NumberedOptions]):
    """Trains on the images as they are, with two of them twice."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Repeat the first two images."""
        import numpy as np

        from balancebench import Origin

        return train.take(np.arange(2), origin=Origin.REPEATED)


@dataclass(frozen=True)
class Guessing:
    """Draws logits; learns nothing."""

    options: NumberedOptions

    def fit(self, plan: TrainingPlan, context: FitContext) -> Guesses:
        """Pretend one epoch."""
        guesses = Guesses(context.seed)
        context.count(len(plan.phases[0].images), 1)
        context.epoch_finished(0, guesses, {"loss": 1.0})
        return guesses


@dataclass(frozen=True)
class Guesses:
    """Logits drawn from a seed."""

    seed: int

    def predict_logits(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Draw logits_NK."""
        import numpy as np

        return np.random.default_rng(self.seed).normal(size=(len(images_NCHW), CLASSES)).astype(np.float32)


@hookimpl
def balancebench_datasets() -> Sequence[Component[Any, Dataset]]:
    """Declare the data set."""
    return [Component(name="speckles", summary="Noise.", options=NumberedOptions, build="balancebench_toy:Speckles")]


@hookimpl
def balancebench_balancers() -> Sequence[BalancerComponent[Any]]:
    """Declare a balancer that makes images and one that makes none."""
    return [
        BalancerComponent(
            name="repeating",
            summary="Repeats two.",
            options=NumberedOptions,
            build="balancebench_toy:Repeating",
            synthesises=True,
        ),
        BalancerComponent(
            name="idling", summary="Changes nothing.", options=NumberedOptions, build="balancebench:Balancer"
        ),
    ]


@hookimpl
def balancebench_classifiers() -> Sequence[Component[Any, Classifier]]:
    """Declare the classifier."""
    return [Component(name="guessing", summary="Guesses.", options=NumberedOptions, build="balancebench_toy:Guessing")]
