"""Checks of balancers that train a generator. They import torch.

Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, get_args
from unittest import SkipTest

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from balancebench.config import JSON, Options, drawing_options
from balancebench.contracts import ImageGenerator
from balancebench.testing.balancer_runs import Subject, synthesised, trained_generator
from balancebench.testing.subject import Body, device_of, smoke_options
from balancebench.testing.tiny import tiny_training_set
from balancebench.testing.watch import global_random_state_untouched, other_global_seeds

__all__ = ["GENERATOR_CHECKS"]

LABELS = (2, 1, 1, 2, 1, 2, 2, 1)  # the smaller classes: a generator may leave out a class that is short of nothing
OTHER_VALUES: tuple[JSON, ...] = (3, 7, 0.3, 0.7, True, False, None)
"""Values to try for an option that is to be changed, besides those that its annotation lists."""


def leaves_all_that_its_generator_needs(component: Subject) -> None:
    """A balancer built anew restores the generator from the artefacts alone, wherever they have been moved."""
    generator = trained_generator(component, tiny_training_set(), 0)
    assert callable(getattr(generator, "draw", None)), f"restore_generator returns {type(generator).__name__}"


def draws_images_that_fit(component: Subject) -> None:
    """One uint8 image of the training images' shape for each label asked for, of any number of labels."""
    for channels in (1, 3):
        train = tiny_training_set(channels=channels)
        generator = trained_generator(component, train, 0)
        for count in (1, len(LABELS)):
            drawn = _drawn(component, generator, LABELS[:count])
            assert isinstance(drawn, np.ndarray), f"it draws {type(drawn).__name__}, not an array"
            expected = (count, *train.images_NCHW.shape[1:])
            shown = f"{drawn.dtype} of shape {drawn.shape}"
            assert drawn.dtype == np.uint8 and drawn.shape == expected, f"it draws {shown}; give uint8 {expected}"  # noqa: PT018


def same_random_state_draws_the_same_images(component: Subject) -> None:
    """All noise of a drawing comes from the generator it is given, whatever was drawn before."""
    generator = trained_generator(component, tiny_training_set(), 0)
    drawn: list[bytes] = []
    for global_seed in (1, 2):
        with other_global_seeds(global_seed), global_random_state_untouched():
            drawn.append(_drawn(component, generator).tobytes())
    assert drawn[0] == drawn[1], "two drawings from one random state differ"


def same_seed_trains_the_same_generator(component: Subject) -> None:
    """All randomness of the training comes from the context."""
    drawn: list[bytes] = []
    for global_seed in (1, 2):
        with other_global_seeds(global_seed):
            drawn.append(_drawn_after_training(component))
    assert drawn[0] == drawn[1], "the generators of two trainings with one seed draw other images"


def trains_the_same_whatever_is_drawn(component: Subject) -> None:
    """Options marked `json_schema_extra={"trains": False}` stay out of the training's key, and must not change it.

    They may change what is drawn: both generators draw with the same ones.
    """
    drawing = sorted(drawing_options(smoke_options(component)))
    if not drawing:
        return
    changed = smoke_options(component)
    for name in drawing:
        changed = _with_another_value(changed, name)
    trained_otherwise = replace(component, smoke=changed.model_dump(mode="json"))
    drawn_alike = _drawn_after_training(trained_otherwise, restored_by=component)
    assert _drawn_after_training(component) == drawn_alike, (
        f"another {' or '.join(drawing)} changes the generator; leave out trains=False, or do not train by it"
    )


def makes_its_images_with_the_generator_it_trained(component: Subject) -> None:
    """`synthesise` draws from `context.generator()`, which was trained in a step of its own."""
    if not component.synthesises:
        return
    train = tiny_training_set()
    generator = _Watched(trained_generator(component, train, 0))
    synthesised(component, train, 0, generator)
    assert generator.draws, "it makes images without drawing from context.generator()"


GENERATOR_CHECKS: tuple[Body, ...] = (
    leaves_all_that_its_generator_needs,
    draws_images_that_fit,
    same_random_state_draws_the_same_images,
    same_seed_trains_the_same_generator,
    trains_the_same_whatever_is_drawn,
    makes_its_images_with_the_generator_it_trained,
)


@dataclass(slots=True)
class _Watched:
    """A generator whose drawings are counted."""

    generator: ImageGenerator
    draws: int = 0

    def draw(self, labels_B: NDArray[np.int64], random: Any) -> NDArray[np.uint8]:
        self.draws += 1
        return self.generator.draw(labels_B, random)


def _drawn(component: Subject, generator: ImageGenerator, labels: tuple[int, ...] = LABELS) -> Any:
    import torch

    random = torch.Generator(device=device_of(component)).manual_seed(3)
    return generator.draw(np.array(labels, dtype=np.int64), random)


def _drawn_after_training(component: Subject, restored_by: Subject | None = None) -> bytes:
    generator = trained_generator(component, tiny_training_set(), 0, restored_by=restored_by)
    return _drawn(component, generator).tobytes()


def _with_another_value(options: Options, name: str) -> Options:
    """Return valid options that differ in the option `name`; skip where the kit finds no other value for it."""
    model = type(options)
    for value in (*_listed_values(model.model_fields[name].annotation), *OTHER_VALUES):
        try:
            other = model.model_validate({**options.model_dump(), name: value})
        except ValidationError:
            continue
        if getattr(other, name) != getattr(options, name):
            return other
    raise SkipTest(f"the kit finds no other value for the option {name!r}")


def _listed_values(annotation: Any) -> Iterator[JSON]:
    """Yield the values that a Literal lists, alone or within a union."""
    for argument in get_args(annotation):
        if isinstance(argument, str):
            yield argument
        else:
            yield from _listed_values(argument)
