"""Balancers whose images come from a network that is trained once and drawn from often."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from balancebench.config import Options
from balancebench.contracts import Balancer, ImageGenerator, SynthesisContext
from balancebench.seeds import seed_for
from balancebench.synthesis.target import DrawnTarget, missing_counts

if TYPE_CHECKING:
    from balancebench.data import LabelledImages

__all__ = ["GeneratorBalancer", "GeneratorOptions"]


class GeneratorOptions(Options):
    """What all balancers that train a generator can be asked."""

    target: DrawnTarget = "largest"


GeneratorOptionsT = TypeVar("GeneratorOptionsT", bound=GeneratorOptions)


class GeneratorBalancer(Balancer[GeneratorOptionsT], ABC):
    """Fills classes with images of a trained generator. A subclass says how it is trained, and how it is restored.

    Its component says `synthesises` and `trains_generator`. Training and drawing are steps of their own: another
    `target` draws anew and trains nothing.
    """

    @abstractmethod
    def train_generator(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Train on `train`, and leave in `context.artefacts` all that `restore_generator` needs.

        Raises BalancerError where the training set does not allow it.
        """

    @abstractmethod
    def restore_generator(self, folder: Path, device: str) -> ImageGenerator:
        """Return the generator from the artefacts of its training."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Draw what each class is short of its target; None where none is short of any.

        Raises BalancerError where a class that is to grow was not learnt.
        """
        from balancebench.synthesis.fill import draw_images

        missing_K = missing_counts(self.options.target, train, from_elsewhere=True)
        if not missing_K.any():
            return None
        return draw_images(
            context.generator(),
            train,
            missing_K,
            seed=seed_for("draw", context.seed),
            device=context.device,
            deterministic=context.deterministic,
            progress=context.progress,
        )
