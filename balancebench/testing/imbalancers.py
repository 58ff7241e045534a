"""Checks of imbalancers."""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.component import Component
from balancebench.contracts import Imbalancer
from balancebench.errors import DataError
from balancebench.testing.subject import Body, build, check_refusal
from balancebench.testing.watch import expect_untouched, global_random_state_untouched, other_global_seeds

__all__ = ["IMBALANCER_CHECKS"]

ImbalancerComponent = Component[Any, Imbalancer]
BALANCED = (40, 40, 40, 40)


def keeps_each_image_at_most_once(component: ImbalancerComponent) -> None:
    """`select` returns int64 indices of the images given, none twice, at least one."""
    _check_indices(_selected(component, BALANCED), sum(BALANCED))


def same_seed_gives_the_same_result(component: ImbalancerComponent) -> None:
    """All randomness comes from the generator given, so that cells of one seed share their images."""
    results: list[NDArray[np.int64]] = []
    for global_seed in (1, 2):
        with other_global_seeds(global_seed):
            results.append(_selected(component, BALANCED, seed=5))
    assert np.array_equal(results[0], results[1]), "two runs with one seed keep other images"


def only_a_seeded_one_depends_on_the_seed(component: ImbalancerComponent) -> None:
    """`seeded=False` makes all seeds share one subset, so the subset must be one."""
    results = [_selected(component, BALANCED, seed=seed) for seed in range(4)]
    same = all(np.array_equal(results[0], other) for other in results[1:])
    assert same or component.seeded, "it declares seeded=False, but another seed keeps other images"


def leaves_its_inputs_alone(component: ImbalancerComponent) -> None:
    """The labels are shared by every cell of the task."""
    labels_N = _labels(BALANCED)
    with expect_untouched({"labels": labels_N}):
        _select(component, labels_N, len(BALANCED), seed=0)


def leaves_global_random_state_alone(component: ImbalancerComponent) -> None:
    """It draws from the generator given and from no other."""
    with global_random_state_untouched():
        _selected(component, BALANCED)


def handles_or_refuses_classes_of_one_image(component: ImbalancerComponent) -> None:
    """Classes of a single image give indices, or a DataError."""
    _handles_or_refuses(component, (40, 1, 1, 1))


def handles_or_refuses_a_class_without_images(component: ImbalancerComponent) -> None:
    """A class that the data set names but has no images of gives indices, or a DataError."""
    _handles_or_refuses(component, (40, 10, 0, 5))


def handles_or_refuses_a_single_class(component: ImbalancerComponent) -> None:
    """One class gives indices, or a DataError."""
    _handles_or_refuses(component, (40,))


IMBALANCER_CHECKS: tuple[Body, ...] = (
    keeps_each_image_at_most_once,
    same_seed_gives_the_same_result,
    only_a_seeded_one_depends_on_the_seed,
    leaves_its_inputs_alone,
    leaves_global_random_state_alone,
    handles_or_refuses_classes_of_one_image,
    handles_or_refuses_a_class_without_images,
    handles_or_refuses_a_single_class,
)


def _labels(counts: tuple[int, ...]) -> NDArray[np.int64]:
    labels_N = np.random.default_rng(3).permutation(np.repeat(np.arange(len(counts), dtype=np.int64), counts))
    labels_N.setflags(write=False)
    return labels_N


def _selected(component: ImbalancerComponent, counts: tuple[int, ...], seed: int = 0) -> NDArray[np.int64]:
    return _select(component, _labels(counts), len(counts), seed)


def _select(
    component: ImbalancerComponent, labels_N: NDArray[np.int64], class_count: int, seed: int
) -> NDArray[np.int64]:
    names = tuple(f"class {label}" for label in range(class_count))
    return build(component).select(labels_N, names, np.random.default_rng(seed))


def _handles_or_refuses(component: ImbalancerComponent, counts: tuple[int, ...]) -> None:
    try:
        kept_N = _selected(component, counts)
    except DataError as error:
        check_refusal(error)
        return
    _check_indices(kept_N, sum(counts))


def _check_indices(kept_N: Any, image_count: int) -> None:
    assert isinstance(kept_N, np.ndarray), f"it returns {type(kept_N).__name__}, not an array of indices"
    shown = f"{kept_N.dtype} of shape {kept_N.shape}"
    assert kept_N.dtype == np.int64 and kept_N.ndim == 1, f"it returns {shown}; indices are int64 of one axis"  # noqa: PT018
    assert len(kept_N) > 0, "it keeps no image"
    assert kept_N.min() >= 0 and kept_N.max() < image_count, f"it returns indices outside 0..{image_count - 1}"  # noqa: PT018
    assert len(np.unique(kept_N)) == len(kept_N), "it keeps an image twice"
