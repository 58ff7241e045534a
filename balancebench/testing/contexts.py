"""The contexts that the harness hands to plugins, for tests: full precision, deterministic, on the CPU by default."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from balancebench.checkpoints import Checkpoints
from balancebench.contracts import (
    Base,
    FitContext,
    ImageGenerator,
    LoadContext,
    PlanContext,
    Predictor,
    SynthesisContext,
)
from balancebench.data import LabelledImages
from balancebench.errors import BalancerError
from balancebench.training_plan import TrainingPlan

__all__ = ["NearestMean", "fit_context", "load_context", "plan_context", "synthesis_context"]

logger = logging.getLogger("balancebench.testing")


def load_context(folder: Path) -> LoadContext:
    """Return a context for `Dataset.load`: an empty data root and an empty scratch folder, made in `folder`."""
    data_root, scratch = folder / "data", folder / "scratch"
    for subfolder in (data_root, scratch):
        subfolder.mkdir()
    return LoadContext(data_root=data_root, scratch=scratch, progress=_ignore_progress, logger=logger)


def plan_context(seed: int = 0, base: Base | None = None) -> PlanContext:
    """Return a context for `Balancer.plan`."""
    return PlanContext(rng=np.random.default_rng(seed), base=base)


def synthesis_context(
    folder: Path,
    seed: int = 0,
    *,
    device: str = "cpu",
    base: Base | None = None,
    generator: Callable[[], ImageGenerator] | None = None,
    validation: Callable[[], LabelledImages | None] | None = None,
    withheld: Callable[[], LabelledImages] | None = None,
    train_classifier: Callable[[TrainingPlan], Predictor] | None = None,
    count: Callable[[int, int], None] | None = None,
) -> SynthesisContext:
    """Return a context for `synthesise` and `train_generator`; artefacts, scratch and checkpoints are made in `folder`.

    generator, withheld, train_classifier: calling what is left out raises BalancerError. validation: there are no such
    images where left out. count: nothing counts where left out.
    """
    artefacts, scratch, checkpoints = folder / "artefacts", folder / "scratch", folder / "checkpoints"
    for subfolder in (artefacts, scratch, checkpoints):
        subfolder.mkdir()
    return SynthesisContext(
        seed=seed,
        rng=np.random.default_rng(seed),
        device=device,
        precision="fp32",
        deterministic=True,
        artefacts=artefacts,
        scratch=scratch,
        checkpoints=Checkpoints(folder=checkpoints),
        progress=_ignore_progress,
        logger=logger,
        generator=generator or _no_generator,
        validation=validation or _no_validation_images,
        withheld=withheld or _no_withheld_images,
        train_classifier=train_classifier or _no_classifier,
        count=count or _ignore_count,
        base=base,
    )


def fit_context(
    seed: int = 0,
    *,
    device: str = "cpu",
    epoch_finished: Callable[[int, Predictor, Mapping[str, float]], None] | None = None,
    phase_started: Callable[[int], None] | None = None,
    count: Callable[[int, int], None] | None = None,
    checkpoints: Checkpoints | None = None,
) -> FitContext:
    """Return a context for `Classifier.fit`; what is left out listens to nothing, and nothing is saved."""
    return FitContext(
        seed=seed,
        device=device,
        precision="fp32",
        deterministic=True,
        progress=_ignore_progress,
        logger=logger,
        epoch_finished=epoch_finished or _ignore_epoch,
        phase_started=phase_started or _ignore_phase,
        count=count or _ignore_count,
        checkpoints=checkpoints,
    )


class NearestMean:
    """A classifier for balancers that need one: minus the squared distance to each class's mean image.

    It trains on the last phase of a plan in no time and needs no torch; a class without images is never predicted.
    """

    def __init__(self, plan: TrainingPlan) -> None:
        images = plan.phases[-1].images
        pixels_ND = images.images_NCHW.reshape(len(images), -1) / 255
        is_member_KN = np.arange(images.class_count)[:, None] == images.labels_N
        counts_K1 = is_member_KN.sum(axis=1, keepdims=True)
        self._means_KD = is_member_KN @ pixels_ND / np.maximum(counts_K1, 1)
        self._penalty_K = np.where(counts_K1[:, 0] == 0, 1e6, 0.0)

    def predict_logits(self, images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits_NK."""
        pixels_ND = images_NCHW.reshape(len(images_NCHW), -1) / 255
        distances_NK = ((pixels_ND[:, None] - self._means_KD[None]) ** 2).sum(axis=2)
        return (-distances_NK - self._penalty_K).astype(np.float32)


def _ignore_progress(done: float, total: float, message: str = "") -> None:
    pass


def _ignore_phase(_index: int) -> None:
    return


def _ignore_epoch(epoch: int, predictor: Predictor, values: Mapping[str, float]) -> None:
    pass


def _ignore_count(images: int, steps: int) -> None:
    pass


def _no_generator() -> ImageGenerator:
    raise BalancerError("it draws from a generator but does not declare that it trains one")


def _no_validation_images() -> LabelledImages | None:
    return None


def _no_withheld_images() -> LabelledImages:
    raise BalancerError("this test has no withheld images")


def _no_classifier(_plan: TrainingPlan) -> Predictor:
    raise BalancerError("it trains a classifier but does not declare that it requires one")
