"""What a balancer makes of a training set, run as the harness runs it.

Training a generator, synthesis and planning are steps of their own, in processes of their own: each builds the balancer
anew, and nothing but the artefacts goes from one to the next.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from balancebench.component import BalancerComponent
from balancebench.config import BalancerReference
from balancebench.contracts import Base, ImageGenerator, SynthesisContext
from balancebench.data import LabelledImages
from balancebench.registry import load_registry
from balancebench.testing.contexts import NearestMean, plan_context, synthesis_context
from balancebench.testing.plans import plan_parts
from balancebench.testing.subject import build, device_of, fresh_folder, smoke_options
from balancebench.testing.tiny import tiny_training_set
from balancebench.training_plan import TrainingPlan

__all__ = ["Run", "Subject", "base_of", "planned", "run", "synthesised", "trained_generator", "withheld_from"]

Subject = BalancerComponent[Any]


@dataclass(frozen=True, slots=True)
class Run:
    """What a balancer made of a training set."""

    synthetic: LabelledImages | None
    plan: TrainingPlan

    @property
    def parts(self) -> dict[str, object]:
        """What can be compared, by names for a message."""
        synthetic = self.synthetic
        synthetic_part = None if synthetic is None else (synthetic.digest(), synthetic.origins_N.tobytes())
        return {"the synthetic images": synthetic_part, **plan_parts(self.plan)}


def run(component: Subject, train: LabelledImages, seed: int = 0) -> Run:
    """Return what the component makes of `train`, with smoke options."""
    synthetic = synthesised(component, train, seed) if component.synthesises else None
    return Run(synthetic, planned(component, train, synthetic, seed))


def synthesised(
    component: Subject, train: LabelledImages, seed: int, generator: ImageGenerator | None = None, balancer: Any = None
) -> Any:
    """Return what `synthesise` returns.

    generator: what it draws from; left out, a component that trains one does so first. balancer: of the component; left
    out, it is built.
    """
    if generator is None and component.trains_generator:
        generator = trained_generator(component, train, seed)
    with fresh_folder() as folder:
        context = _synthesis_context(component, train, folder, seed, generator)
        return (balancer or build(component)).synthesise(train, context)


def planned(component: Subject, train: LabelledImages, synthetic: LabelledImages | None, seed: int) -> Any:
    """Return what `plan` returns for these synthetic images."""
    return build(component).plan(train, synthetic, plan_context(seed, base_of(component, train, seed)))


def trained_generator(
    component: Subject, train: LabelledImages, seed: int, *, restored_by: Subject | None = None
) -> ImageGenerator:
    """Return the generator that is restored from the artefacts of its training, and from nothing else.

    restored_by: the component with other options that say only how is drawn; left out, the one that trained.
    """
    with fresh_folder() as folder:
        context = _synthesis_context(component, train, folder, seed)
        build(component).train_generator(train, context)
        artefacts = context.artefacts.rename(folder / "kept")
        for folder_deleted in (context.scratch, context.checkpoints.folder):
            shutil.rmtree(folder_deleted, ignore_errors=True)
        return build(restored_by or component).restore_generator(artefacts, context.device)


def base_of(component: Subject, train: LabelledImages, seed: int) -> Base | None:
    """Return the balancer that the smoke options wrap, with what it makes of `train`; any installed one can be."""
    reference = getattr(smoke_options(component), "base", None)
    if not isinstance(reference, BalancerReference):
        return None
    registered: Any = load_registry().find("balancer", reference.use).component
    wrapped: Subject = replace(registered, smoke=reference.options)
    makes_images = wrapped.synthesises and not (component.draws_from_base and wrapped.trains_generator)
    base = Base(
        balancer=build(wrapped),
        synthetic=synthesised(wrapped, train, seed) if makes_images else None,
        base=base_of(wrapped, train, seed),
    )
    if not wrapped.trains_generator:
        return base
    return replace(base, generator=cache(partial(trained_generator, wrapped, train, seed)))


def withheld_from(train: LabelledImages) -> LabelledImages:
    """Return images that an imbalancer may have removed from `train`."""
    _, channels, height, width = train.images_NCHW.shape
    counts = [6] * train.class_count
    return tiny_training_set(counts, channels=channels, height=height, width=width, seed=99)


def _synthesis_context(
    component: Subject, train: LabelledImages, folder: Path, seed: int, generator: ImageGenerator | None = None
) -> SynthesisContext:
    restored: Callable[[], ImageGenerator] | None = None if generator is None else lambda: generator
    return synthesis_context(
        folder,
        seed,
        device=device_of(component),
        base=base_of(component, train, seed),
        generator=restored,
        withheld=lambda: withheld_from(train),
        train_classifier=NearestMean if "classifier" in component.requires else None,
    )
