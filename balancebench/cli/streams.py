"""Standard input, output and error, whatever the shell made of them: closed, full, or cut off by a reader."""

from __future__ import annotations

import os
import sys
from typing import IO, Any

__all__ = ["PatientStream", "finish_streams", "open_closed_streams"]

_LOST: dict[int, str] = {}  # descriptor -> why it cannot be written


def open_closed_streams() -> None:
    """Give closed descriptors 0 to 2 to /dev/null, lest the next file that is opened becomes standard output."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115


class PatientStream:
    """A text stream whose writes cannot fail: once the disk refuses one, what comes goes nowhere.

    A reader that has gone (`| head`) is not the disk: its BrokenPipeError passes.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text; returns how much of it there was."""
        try:
            self._stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            _give_up(self._stream, error)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _give_up(self._stream, error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def finish_streams() -> str | None:
    """Write what is buffered; return what to say of a standard output that could not be written, or None."""
    for stream in (sys.stdout, sys.stderr):
        PatientStream(stream).flush()
    return f"standard output cannot be written: {_LOST[1]}" if 1 in _LOST else None


def _give_up(stream: IO[str], error: OSError) -> None:
    """Let a stream end in /dev/null, what it still holds included."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return  # it is no file
    _LOST[descriptor] = error.strerror or str(error)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)
