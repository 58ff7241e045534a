"""Weights from elsewhere, read without running what a file may hold beside them. Light."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["tensors_only"]

VARIABLE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


@contextmanager
def tensors_only() -> Generator[None]:
    """Make torch.load refuse pickled objects other than tensors, also where a library asks for all of them.

    By the environment variable that torch reads at each call, for as long as the context lasts and in all threads.
    """
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
