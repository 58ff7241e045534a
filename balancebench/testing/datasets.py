"""Checks of datasets, without network; what needs files of the user's is skipped and says so."""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

import json
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from unittest import SkipTest, mock

from balancebench.component import Component
from balancebench.contracts import Dataset
from balancebench.data import DatasetSplits, LabelledImages, Origin
from balancebench.errors import DataError
from balancebench.testing.contexts import load_context
from balancebench.testing.declaration import options_or_skip
from balancebench.testing.subject import Body, build, fresh_folder
from balancebench.testing.watch import global_random_state_untouched, other_global_seeds

__all__ = ["DATASET_CHECKS"]

Subject = Component[Any, Dataset]


def loads_training_and_test_images(component: Subject) -> None:
    """Splits of real, labelled images; every class has a name of its own."""
    splits = _loaded(component)
    assert isinstance(splits, DatasetSplits), f"it returns {type(splits).__name__}, not DatasetSplits"
    names = splits.train.class_names
    assert len(set(names)) == len(names), "two classes have one name"
    for name, split in _parts(splits).items():
        assert len(split) > 0, f"it has no {name} images"
        assert (split.origins_N == Origin.REAL).all(), f"its {name} images are not all of origin REAL"


def loads_the_same_every_time(component: Subject) -> None:
    """Two loads with the same options give the same images in the same order."""
    loads: list[dict[str, str]] = []
    for global_seed in (1, 2):
        with other_global_seeds(global_seed):
            loads.append({name: split.digest() for name, split in _parts(_loaded(component)).items()})
    assert loads[0] == loads[1], "two loads differ"


def leaves_global_random_state_alone(component: Subject) -> None:
    """A random split has a seed among its options, and a generator of its own."""
    with global_random_state_untouched():
        _loaded(component)


def identifies_its_data_as_json(component: Subject) -> None:
    """`identity` is JSON, and the same every time; it becomes part of keys."""
    if component.identity is None:
        return
    options = options_or_skip(component)
    try:
        identity, again = component.identity(options), component.identity(options)
    except DataError as error:
        raise SkipTest(str(error)) from None
    first, second = (json.dumps(value, sort_keys=True, allow_nan=False) for value in (identity, again))
    assert first == second, f"identity is {first}, and the second time {second}"


DATASET_CHECKS: tuple[Body, ...] = (
    loads_training_and_test_images,
    loads_the_same_every_time,
    leaves_global_random_state_alone,
    identifies_its_data_as_json,
)


def _loaded(component: Subject) -> DatasetSplits:
    """Load into an empty folder; a dataset that misses its files says so in a DataError."""
    options_or_skip(component)
    with fresh_folder() as folder, _no_network():
        try:
            return build(component).load(load_context(folder))
        except DataError as error:
            raise SkipTest(str(error).replace(str(folder), "FOLDER")) from None


def _parts(splits: DatasetSplits) -> dict[str, LabelledImages]:
    parts = {"training": splits.train, "test": splits.test, "validation": splits.validation}
    return {name: split for name, split in parts.items() if split is not None}


@contextmanager
def _no_network() -> Generator[None]:
    def refuse(*_arguments: Any, **_options: Any) -> Any:
        raise OSError("the conformance kit has no network")

    with mock.patch.object(socket.socket, "connect", refuse), mock.patch.object(socket, "getaddrinfo", refuse):
        yield
