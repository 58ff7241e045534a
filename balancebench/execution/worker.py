"""The life of a worker process: it takes steps over a pipe, one after the other, and stays warm between them.

Module level imports nothing heavy: thread counts are set before NumPy and torch start.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balancebench.device_sharing import WORKERS_VARIABLE
from balancebench.store.answers import guard_answers
from balancebench.threads import THREAD_VARIABLES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from balancebench.stages.judge import Judgement

__all__ = ["CUBLAS_WORKSPACE", "printed_end", "worker_main"]

PROGRESS_INTERVAL_SECONDS = 0.2
PRINTED_BYTES = 4000
CUBLAS_WORKSPACE = ":4096:8"  # without it CUDA's matrix products are not repeatable


def worker_main(pipe: Connection, settings_json: str, log: Path) -> None:
    """Run steps until the pipe closes. Everything printed goes to `log`, which is emptied before each step."""
    settings = json.loads(settings_json)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's business
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # a group of its own, which ends as a whole
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for name in THREAD_VARIABLES:
        os.environ[name] = str(settings["threads"])
    os.environ[WORKERS_VARIABLE] = str(settings["workers_on_device"])
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    guard_answers(settings["store_root"])
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    while True:
        try:
            content = pipe.recv_bytes()
        except EOFError:
            return
        os.ftruncate(output, 0)
        finished = _run(pipe, content, settings, log)
        _flush()
        pipe.send_bytes(json.dumps(finished).encode())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # pyright: ignore[reportUnnecessaryComparison] - None where it was closed from the start
            stream.flush()


def printed_end(log: Path) -> str:
    """Return the last characters of what a worker's step printed; a log may be larger than memory."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - PRINTED_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _run(pipe: Connection, content: bytes, settings: dict[str, Any], log: Path) -> dict[str, Any]:
    import numpy as np

    from balancebench.execution.provenance import describe_environment
    from balancebench.registry import load_registry
    from balancebench.stages.judge import Judgement
    from balancebench.stages.memory import gpu_memory
    from balancebench.stages.run_step import run_step
    from balancebench.step import step_from_json
    from balancebench.store import Store

    step = step_from_json(content)
    registry = load_registry()
    last_sent = 0.0

    def progress(done: float, total: float, message: str = "") -> None:
        nonlocal last_sent
        now = time.monotonic()
        if now - last_sent >= PROGRESS_INTERVAL_SECONDS or done >= total:
            last_sent = now
            note = {"kind": "progress", "done": float(done), "total": float(total), "message": message}
            pipe.send_bytes(json.dumps(note).encode())

    def epoch_ended(epoch: int, values: Mapping[str, float]) -> None:
        pipe.send_bytes(json.dumps({"kind": "epoch", "epoch": epoch, "values": dict(values)}).encode())

    def judge(dataset_key: str, logits_NK: NDArray[np.float32]) -> Judgement:
        """Ask the main process, which knows the test labels."""
        pipe.send_bytes(json.dumps({"kind": "judge", "dataset": dataset_key}).encode())
        logits = io.BytesIO()
        np.save(logits, logits_NK, allow_pickle=False)
        pipe.send_bytes(logits.getbuffer())
        return Judgement(**json.loads(pipe.recv_bytes()))

    def printed() -> str:
        _flush()
        return printed_end(log)

    ended = run_step(
        step,
        store=Store(Path(settings["store_root"])),
        registry=registry,
        device=settings["device"],
        data_root=Path(settings["data_root"]),
        provenance={
            **describe_environment(registry),
            "device": settings["device"],
            "threads": step.threads,
        },
        begun=lambda: pipe.send_bytes(json.dumps({"kind": "begun"}).encode()),
        progress=progress,
        epoch_ended=epoch_ended,
        judge=judge,
        compilation=settings["compilation"],
        checkpoint_seconds=settings["checkpoint_seconds"],
        is_worker=True,
        printed=printed,
    )
    record = ended.record
    return {
        "kind": "finished",
        "status": record.status,
        "seconds": record.duration_seconds,
        "message": record.failure.message if record.failure else "",
        "is_spent": bool(ended.lasting_changes),
        "gpu_memory": None if ended.lasting_changes else gpu_memory(settings["device"]),  # CUDA may be what broke
    }


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)  # what steps started ends too
        os._exit(1)
