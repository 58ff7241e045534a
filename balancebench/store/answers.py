"""The store's answers: the labels of test images, apart from everything that a plugin's step is handed.

A worker refuses to open them but where the harness itself asks. Python's file functions, NumPy's and torch's among
them, all report what they open; what a library opens behind Python's back is not seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["ANSWERS", "answers_opened", "guard_answers"]

ANSWERS = "answers"
_OPENED = ContextVar("answers_opened", default=False)


@contextmanager
def answers_opened() -> Generator[None]:
    """Let this process open answers inside the block."""
    token = _OPENED.set(True)
    try:
        yield
    finally:
        _OPENED.reset(token)


def guard_answers(store_root: str) -> None:
    """From now on and for good, refuse this process the answers of a store outside of `answers_opened`.

    Raises PermissionError where a file is opened.
    """
    guarded = os.path.join(os.path.realpath(store_root), ANSWERS) + os.sep

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or _OPENED.get() or not isinstance(arguments[0], (str, bytes)):
            return
        path = os.fsdecode(arguments[0])
        if ANSWERS in path and os.path.realpath(path).startswith(guarded):
            raise PermissionError(f"test labels are for scores alone: {path} is not to be opened by a step")

    sys.addaudithook(refuse)
