"""What a training plan promises, checked, and put into a form in which two plans compare.

Axis suffixes: N images, K classes, C channels, H rows, W columns.
"""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from balancebench.data import LabelledImages, Origin
from balancebench.training_plan import TrainingPlan

__all__ = ["check_origins", "check_plan", "has_callables", "plan_parts"]


def check_plan(plan: Any, train: LabelledImages) -> None:
    """Fail unless `plan` is a TrainingPlan over the classes and the image shape of `train`."""
    assert isinstance(plan, TrainingPlan), f"it plans {type(plan).__name__}, not a TrainingPlan"
    assert plan.class_names == train.class_names, f"its plan has the classes {plan.class_names}"
    for number, phase in enumerate(plan.phases):
        shape, expected = phase.images.images_NCHW.shape[1:], train.images_NCHW.shape[1:]
        assert shape == expected, f"phase {number} has images of shape {shape}, the training set {expected}"


def check_origins(plan: TrainingPlan, train: LabelledImages, repeatable: Iterable[LabelledImages]) -> None:
    """Fail where a phase calls an image REAL or REPEATED that is not one of those.

    REAL: it is in `train`, and the phase holds it no more often than `train` does. REPEATED: it is in one of
    `repeatable`.
    """
    real = Counter(_image_keys(train))
    repeatable_keys = {key for images in repeatable for key in _image_keys(images)}
    for number, phase in enumerate(plan.phases):
        keyed = list(zip(_image_keys(phase.images), phase.images.origins_N, strict=True))
        beyond = Counter(key for key, origin in keyed if origin == Origin.REAL) - real
        assert not beyond, (
            f"phase {number} calls {beyond.total()} images REAL that were repeated or made; give them their origin"
        )
        unknown = {key for key, origin in keyed if origin == Origin.REPEATED} - repeatable_keys
        assert not unknown, f"phase {number} calls {len(unknown)} images REPEATED that are no training images"


def plan_parts(plan: TrainingPlan) -> dict[str, object]:
    """Return what of a plan can be compared, by names for a message; callables by what they compute."""
    parts: dict[str, object] = {
        "the number of phases": len(plan.phases),
        "the head": plan.head,
        "the images that normalise": None if plan.normalise_on is None else plan.normalise_on.digest(),
    }
    for number, phase in enumerate(plan.phases):
        weight_N = phase.sampling_weight_N
        of_phase: dict[str, object] = {
            "images": phase.images.digest(),
            "origins": phase.images.origins_N.tobytes(),
            "sampling weights": None if weight_N is None else weight_N.tobytes(),
            "settings": (phase.share, phase.trainable, phase.batch_norm, phase.reset_head, phase.restart),
        }
        parts |= {f"the {name} of phase {number}": value for name, value in of_phase.items()}
    if has_callables(plan):
        from balancebench.testing.callables import computed

        parts |= computed(plan)
    return parts


def has_callables(plan: TrainingPlan) -> bool:
    """Say whether the plan holds functions of tensors, for which torch must be imported."""
    of_phases = any(phase.loss or phase.feature_loss or phase.batch_transform for phase in plan.phases)
    return of_phases or plan.adjust_head is not None or plan.adjust_logits is not None


def _image_keys(images: LabelledImages) -> list[tuple[int, bytes]]:
    pixels_NCHW = np.asarray(images.images_NCHW)
    return [(int(label), image.tobytes()) for label, image in zip(images.labels_N, pixels_NCHW, strict=True)]
