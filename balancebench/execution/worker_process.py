"""One worker process as the run sees it: what it is sent, what it says, whether it still lives, and its end.

A worker leads a process group of its own, so that what it started ends with it, also once it is dead itself. Nothing
here waits without a limit: a plugin may close the pipe and live on, stop in the middle of a message, or leave a child
behind that holds the pipe open.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from balancebench.config import JSON
from balancebench.execution.worker import printed_end, worker_main

__all__ = ["WorkerProcess"]

MESSAGE_SECONDS = 60.0  # for the rest of a message that has begun
DYING_SECONDS = 10.0  # from a closed pipe to an exit code: what dies closes its files first, and may be busy dying
WAIT_SECONDS = 0.005
KILLED_SECONDS = 10.0  # for the system to end what was killed


class WorkerProcess:
    """A process that runs `worker_main`."""

    def __init__(self, settings: Mapping[str, JSON], log: Path) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        _limit_waiting(self.pipe.fileno(), MESSAGE_SECONDS)
        self._log = log
        self._process = spawn.Process(target=worker_main, args=(theirs, json.dumps(dict(settings)), log), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        """Whether the process itself lives, whatever it left behind."""
        return self._process.is_alive()

    @property
    def memory_bytes(self) -> int:
        """What the process and those that it started take of memory."""
        used = 0
        for member in self._family():
            with suppress(psutil.Error):
                used += member.memory_info().rss
        return used

    def send(self, content: bytes) -> None:
        """Send a message; raises OSError where the process does not take it."""
        self.pipe.send_bytes(content)

    def receive(self) -> bytes:
        """Return the next message, of which something must be there; raises EOFError or OSError where it has no end."""
        return self.pipe.recv_bytes()

    def note(self) -> dict[str, Any] | None:
        """Return what the process says next, or None where it says nothing now.

        Raises EOFError or OSError once it has closed the pipe or stops in the middle of a message, and ValueError
        where what it says is not what a worker would.
        """
        if not self.pipe.poll():
            return None
        note: Any = json.loads(self.receive())
        if not isinstance(note, dict):
            raise ValueError("a note of a worker is a table")  # noqa: TRY004 - what is wrong is what it says
        return note

    def death(self) -> str:
        """Say how the process ended, or that it lives on without a word: then it is to be ended."""
        self._wait(DYING_SECONDS)
        exit_code = self._process.exitcode
        if exit_code is None:
            return "the worker process closed its pipe in the middle of the step and lived on; it was ended"
        if exit_code < 0:
            hint = "; the system kills processes so when memory runs out" if exit_code == -signal.SIGKILL else ""
            return f"the worker process was killed by signal {-exit_code}{hint}"
        return f"the worker process ended with exit code {exit_code} in the middle of the step"

    def end(self) -> None:
        """Kill the process and all that it started."""
        for member in self._family():
            with suppress(psutil.Error):
                member.kill()
        if self._process.pid is not None and hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._wait(KILLED_SECONDS)
        self.pipe.close()

    def last_words(self) -> str:
        """Return the end of what the process printed since its step began."""
        return printed_end(self._log)

    def _wait(self, seconds: float) -> None:
        """Wait for the process's end; its own `join` waits without a limit once the process has closed its files."""
        deadline = time.monotonic() + seconds
        while self.is_alive and time.monotonic() < deadline:
            time.sleep(WAIT_SECONDS)

    def _family(self) -> list[psutil.Process]:
        try:
            worker = psutil.Process(self._process.pid)
            return [*worker.children(recursive=True), worker]
        except psutil.Error:
            return []


def _limit_waiting(descriptor: int, seconds: float) -> None:
    """Let reads and writes of a pipe that is a socket fail after so long; where pipes are none, leave it."""
    if os.name != "posix":
        return
    limit = struct.pack("ll", int(seconds), 0)
    with socket.socket(fileno=os.dup(descriptor)) as pipe:
        is_blocking = os.get_blocking(descriptor)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            pipe.setsockopt(socket.SOL_SOCKET, option, limit)
    os.set_blocking(descriptor, is_blocking)
