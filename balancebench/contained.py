"""Calls of plugin code in the main process, where none of them may end a command."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

from balancebench.errors import PluginError

__all__ = ["contained"]


@contextmanager
def contained() -> Generator[None]:
    """Turn a SystemExit or KeyboardInterrupt that code inside the block raises into a PluginError.

    A Ctrl-C of the user stays one: it comes as a signal, unless signals are ignored. Where they are somebody else's
    business, outside of the main thread or with a handler of their own, every KeyboardInterrupt is taken for the
    user's.
    """
    was_pressed = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal was_pressed
        was_pressed = True
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    is_ours = in_main_thread and handler is signal.default_int_handler
    can_be_pressed = handler is not signal.SIG_IGN
    if is_ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    except SystemExit as error:
        raise PluginError(f"it tried to end the process, with exit code {error.code!r}") from error
    except KeyboardInterrupt as error:
        if was_pressed or (can_be_pressed and not is_ours):
            raise
        raise PluginError("it raised KeyboardInterrupt, which nobody had pressed") from error
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
