"""What the stages that run a balancer hand to it: its generator, what it wraps, and a classifier to train.

Axis suffixes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from balancebench.artefacts.generator import BalancerFiles
from balancebench.artefacts.subset import Subset
from balancebench.artefacts.synthesis import SynthesisedImages
from balancebench.checkpoints import Checkpoints
from balancebench.contracts import (
    Base,
    FitContext,
    ImageGenerator,
    PlanContext,
    Predictor,
    SynthesisContext,
    TrainsGenerator,
)
from balancebench.data import LabelledImages
from balancebench.errors import BalancerError
from balancebench.seeds import seed_for
from balancebench.stages.workplace import Built, Workplace
from balancebench.step import BalancerInputs
from balancebench.store.permissions import make_folder
from balancebench.training_plan import TrainingPlan

__all__ = ["fit_context", "plan_context", "read_images", "restored_generator", "synthesis_context"]


def synthesis_context(
    workplace: Workplace, balancer: Built, subset: Subset, inputs: BalancerInputs
) -> SynthesisContext:
    """Return what a balancer trains a generator or makes images with."""
    settings = workplace.step.settings
    checkpoints = workplace.store.checkpoint_folder(workplace.step.key)
    # What an earlier attempt made of withheld images may stand in its checkpoints: the mark must not get lost.
    saw_withheld = checkpoints / "used_withheld_data"
    workplace.used_withheld_data |= saw_withheld.exists()

    def withheld() -> LabelledImages:
        saw_withheld.touch()
        workplace.used_withheld_data = True
        return subset.withheld

    def train_classifier(plan: TrainingPlan) -> Predictor:
        if "classifier" not in workplace.step.components:
            raise BalancerError(
                f"{balancer.component.name} trains a classifier but does not declare that it requires one"
            )
        classifier = workplace.build("classifier", "classifier")
        return classifier.object.fit(plan, fit_context(workplace, settings["classifier_seed"]))

    own = checkpoints / "files"
    make_folder(own, workplace.store.root)
    seed = seed_for("generator", settings["seed"] or 0)
    return SynthesisContext(
        seed=seed,
        rng=np.random.default_rng(seed),
        device=workplace.device,
        precision=settings["precision"],
        deterministic=settings["deterministic"],
        artefacts=BalancerFiles.make(workplace.results),
        scratch=workplace.scratch,
        checkpoints=Checkpoints(folder=own, seconds=workplace.checkpoint_seconds),
        progress=workplace.progress,
        logger=workplace.logger,
        withheld=withheld,
        train_classifier=train_classifier,
        count=workplace.count,
        counted=lambda: (workplace.images_seen, workplace.optimiser_steps),
        warn=workplace.warn,
        generator=cache(lambda: restored_generator(workplace, balancer, inputs)),
        validation=cache(lambda: subset.validation),
        cached=workplace.store.cached,
        base=_base_of(workplace, balancer, subset.train, inputs),
    )


def plan_context(workplace: Workplace, balancer: Built, train: LabelledImages, inputs: BalancerInputs) -> PlanContext:
    """Return what a balancer plans with; every call starts the same random stream."""
    rng = np.random.default_rng(seed_for("plan", workplace.step.settings["generator_seed"] or 0))
    return PlanContext(rng=rng, base=_base_of(workplace, balancer, train, inputs))


def fit_context(
    workplace: Workplace,
    seed: int,
    *,
    epoch_finished: Callable[[int, Predictor, Mapping[str, float]], None] | None = None,
    phase_started: Callable[[int], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> FitContext:
    """Return a context to train in; nobody watches its epochs, or keeps its state, where that is left out."""

    def ignore_epoch(_epoch: int, _predictor: Predictor, _values: Mapping[str, float]) -> None:
        return

    def ignore_phase(_index: int) -> None:
        return

    return FitContext(
        seed=seed_for("classifier", seed),
        device=workplace.device,
        precision=workplace.step.settings["precision"],
        deterministic=workplace.step.settings["deterministic"],
        progress=workplace.progress,
        logger=workplace.logger,
        epoch_finished=epoch_finished or ignore_epoch,
        phase_started=phase_started or ignore_phase,
        count=workplace.count,
        compilation=workplace.compilation,
        note=workplace.note,
        checkpoints=checkpoints,
    )


def read_images(workplace: Workplace, inputs: BalancerInputs, train: LabelledImages) -> LabelledImages | None:
    """Map the images that a balancer's synthesis made; None where it has none, or made none."""
    if inputs.synthesis is None:
        return None
    return SynthesisedImages.read(workplace.store, inputs.synthesis, train).images


def restored_generator(workplace: Workplace, balancer: Built, inputs: BalancerInputs) -> ImageGenerator:
    """Return the generator that a balancer trained in a step of its own; raise BalancerError where it trains none."""
    if inputs.generator is None:
        raise BalancerError(
            f"{balancer.component.name} has no trained generator to draw from: its component does not say "
            "trains_generator"
        )
    if not isinstance(balancer.object, TrainsGenerator):
        raise BalancerError(f"{balancer.component.name} says trains_generator, but has no restore_generator")
    return balancer.object.restore_generator(
        BalancerFiles.read(workplace.store, inputs.generator).folder, workplace.device
    )


def _base_of(workplace: Workplace, balancer: Built, train: LabelledImages, inputs: BalancerInputs) -> Base | None:
    """Return the balancer that this one wraps, with what it made."""
    wrapped, base_inputs = balancer.base, inputs.base
    if wrapped is None or base_inputs is None:
        return None
    return Base(
        balancer=wrapped.object,
        synthetic=read_images(workplace, base_inputs, train),
        base=_base_of(workplace, wrapped, train, base_inputs),
        generator=cache(lambda: restored_generator(workplace, wrapped, base_inputs)),
    )
