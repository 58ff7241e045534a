"""What checks are made of: a component under its kind, and how its results are compared.

Axis suffixes: N images, K classes.
"""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import SkipTest

from balancebench.component import Component
from balancebench.config import Options
from balancebench.data import LabelledImages
from balancebench.errors import BalancebenchError

__all__ = [
    "DEVICE_VARIABLE",
    "Body",
    "build",
    "check_refusal",
    "described",
    "device_of",
    "fresh_folder",
    "image_arrays",
    "needs_of",
    "smoke_options",
]

DEVICE_VARIABLE = "BALANCEBENCH_CHECK_DEVICE"
"""The environment points all checks at another device than the CPU, such as "cuda" or "cuda:1"."""

Body = Callable[[Any], None]
"""body(component): raises AssertionError where what its name states does not hold, SkipTest where it cannot be seen."""


def described(body: Callable[..., None]) -> str:
    """Return what a check states: its function's name in words."""
    return body.__name__.replace("_", " ")


def smoke_options(component: Component[Any, Any]) -> Options:
    """Return the options that checks run with: the smoke options, defaults for the rest."""
    return component.options.model_validate(dict(component.smoke))


def build(component: Component[Any, Any]) -> Any:
    """Return a new object with smoke options; skip what this machine cannot run."""
    if needs := needs_of(component):
        raise SkipTest(needs)
    return component.create(smoke_options(component))


def needs_of(component: Component[Any, Any]) -> str:
    """Return what the component requires that the kit does not have, or ""."""
    if "network" in component.requires:
        return "it requires the network, which the conformance kit does not use"
    if "cuda" in component.requires:
        import torch

        if not torch.cuda.is_available():
            return "it requires a CUDA device, and there is none"
    return ""


def device_of(component: Component[Any, Any]) -> str:
    """Return the device that a component is checked on: the environment's, or the CPU, unless it requires CUDA."""
    return "cuda" if "cuda" in component.requires else os.environ.get(DEVICE_VARIABLE) or "cpu"


def check_refusal(error: BalancebenchError) -> None:
    """Fail unless the error says in one or two lines what is wrong."""
    lines = str(error).strip().splitlines()
    name = type(error).__name__
    assert lines, f"its {name} says nothing"
    assert len(lines) <= 2, f"its {name} has {len(lines)} lines; say in one or two what is wrong"


@contextmanager
def fresh_folder() -> Generator[Path]:
    """Give an empty folder, deleted afterwards."""
    with TemporaryDirectory(prefix="balancebench-check-") as folder:
        yield Path(folder)


def image_arrays(name: str, images: LabelledImages | None) -> dict[str, Any]:
    """Return the arrays of an image set under names for a message."""
    if images is None:
        return {}
    return {
        f"{name} images": images.images_NCHW,
        f"{name} labels": images.labels_N,
        f"{name} origins": images.origins_N,
    }
