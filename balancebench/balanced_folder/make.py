"""Runs a balancer, and those that it wraps, on one training set outside a suite.

A generator that was trained stays in the work folder, with the checkpoints of one that was not finished.
Axis suffixes: N images.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from balancebench.checkpoints import Checkpoints
from balancebench.component import BalancerComponent
from balancebench.contracts import (
    Base,
    ImageGenerator,
    PlanContext,
    Predictor,
    Progress,
    SynthesisContext,
    TrainsGenerator,
)
from balancebench.data import LabelledImages
from balancebench.errors import BalancebenchError, BalancerError
from balancebench.seeds import seed_for
from balancebench.suite.bound import BoundComponent
from balancebench.training_plan import TrainingPlan

__all__ = ["balanced_images"]


def balanced_images(
    bound: BoundComponent, train: LabelledImages, work: Path, *, seed: int, device: str, progress: Progress
) -> LabelledImages:
    """Return the images that a classifier would be trained on.

    Raises BalancebenchError where the balancer weights or orders training instead of changing the images, and where it
    names parents that are not there.
    """
    generated = _made(bound, train, work, seed=seed_for("generator", seed), device=device, progress=progress)
    rng = np.random.default_rng(seed_for("plan", seed))
    plan = generated.balancer.plan(train, generated.synthetic, PlanContext(rng=rng, base=generated.base))
    name = bound.component.name
    phase, *later = plan.phases
    if later:
        raise BalancebenchError(f"{name} trains in {len(plan.phases)} phases, which no folder of images can say")
    if phase.images is train:
        raise BalancebenchError(
            f"{name} changes no images here: it weights them or finds them balanced already; `balancebench list "
            "balancer` names others, and `target` may ask for more"
        )
    parents = phase.images.parents
    if parents is not None and parents.last_row >= len(train):
        raise BalancerError(f"{name} names image {parents.last_row} as a parent; the training set has {len(train)}")
    return phase.images


def _made(
    bound: BoundComponent,
    train: LabelledImages,
    work: Path,
    *,
    seed: int,
    device: str,
    progress: Progress,
    makes_images: bool = True,
) -> Base:
    """Return the balancer with what it and those below it made. makes_images: what draws from its generator says no."""
    component = bound.component
    assert isinstance(component, BalancerComponent)  # noqa: S101 - a suite's balancer, and what it wraps
    work.mkdir(parents=True, exist_ok=True)
    base = None
    if bound.base is not None:
        base = _made(
            bound.base,
            train,
            work / "base",
            seed=seed,
            device=device,
            progress=progress,
            makes_images=not component.draws_from_base,
        )
    balancer = component.create(bound.options)

    def restored() -> ImageGenerator:
        if not isinstance(balancer, TrainsGenerator):
            raise BalancerError(f"{component.name} has no trained generator to draw from")
        return balancer.restore_generator(_generator_folder(work), device)

    generator = cache(restored)

    def context(stage: str, artefacts: Path) -> SynthesisContext:
        return _context(work / stage, artefacts, base, generator, seed=seed, device=device, progress=progress)

    if component.trains_generator and isinstance(balancer, TrainsGenerator) and not _generator_folder(work).exists():
        unfinished = work / "generator.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        balancer.train_generator(train, context("training", unfinished))
        unfinished.rename(_generator_folder(work))
    synthetic = None
    if component.synthesises and makes_images:
        artefacts = work / "artefacts"
        artefacts.mkdir(exist_ok=True)
        synthetic = balancer.synthesise(train, context("synthesis", artefacts))
    return Base(balancer=balancer, synthetic=synthetic, base=base, generator=generator)


def _generator_folder(work: Path) -> Path:
    return work / "generator"


def _context(
    folder: Path,
    artefacts: Path,
    base: Base | None,
    generator: Callable[[], ImageGenerator],
    *,
    seed: int,
    device: str,
    progress: Progress,
) -> SynthesisContext:
    scratch, checkpoints = folder / "scratch", folder / "checkpoints"
    shutil.rmtree(scratch, ignore_errors=True)
    for made_folder in (scratch, checkpoints):
        made_folder.mkdir(parents=True, exist_ok=True)

    def withheld() -> LabelledImages:
        raise BalancerError("no images were withheld: all of the folder are there")

    def train_classifier(_plan: TrainingPlan) -> Predictor:
        raise BalancerError("no classifier is named: a suite does that")

    def count(_images: int, _steps: int) -> None:
        return

    logger = logging.getLogger("balancebench.balance")
    return SynthesisContext(
        seed=seed,
        rng=np.random.default_rng(seed),
        device=device,
        precision="fp32",
        deterministic=True,
        artefacts=artefacts,
        scratch=scratch,
        checkpoints=Checkpoints(folder=checkpoints),
        progress=progress,
        logger=logger,
        withheld=withheld,
        train_classifier=train_classifier,
        count=count,
        warn=logger.warning,
        generator=generator,
        base=base,
    )
