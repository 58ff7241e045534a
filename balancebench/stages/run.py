"""Runs one step and commits what came of it, whatever that is."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from balancebench.component import Progress
from balancebench.config import JSON, Compilation
from balancebench.errors import BalancebenchError
from balancebench.registry import Registry
from balancebench.stages.imbalance import run_imbalance
from balancebench.stages.load import run_load
from balancebench.stages.memory import peak_memory_bytes, reset_peak_memory
from balancebench.stages.order import StepOrder, Workplace
from balancebench.stages.score import run_score
from balancebench.stages.synthesise import run_synthesise
from balancebench.stages.train import run_train
from balancebench.store import Failure, Record, Status, Store

__all__ = ["run_step"]

STAGES: dict[str, Callable[[Workplace], None]] = {
    "load": run_load,
    "imbalance": run_imbalance,
    "synthesise": run_synthesise,
    "train": run_train,
    "score": run_score,
}


def run_step(
    order: StepOrder,
    *,
    store: Store,
    registry: Registry,
    device: str,
    data_root: Path,
    provenance: dict[str, JSON],
    progress: Progress,
    compilation: Compilation = "auto",
) -> Record:
    """Run a step and commit its record: done with its files, or failed or out_of_memory with the error."""
    results, scratch = store.temporary_folder(), store.temporary_folder()
    place = Workplace(
        order=order,
        store=store,
        registry=registry,
        device=device,
        compilation=compilation,
        data_root=data_root,
        results=results,
        scratch=scratch,
        progress=progress,
    )
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    start = time.monotonic()
    reset_peak_memory(device)
    status: Status = "done"
    failure: Failure | None = None
    try:
        STAGES[order.stage](place)
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; its record says how
        status = "out_of_memory" if _is_out_of_memory(error) else "failed"
        failure = Failure(message=_message(error), traceback=traceback.format_exc())
        shutil.rmtree(results, ignore_errors=True)  # half-written results help nobody
        results.mkdir()
    except BaseException:
        shutil.rmtree(results, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    inputs = [found for key in order.inputs.values() if (found := store.read_done(key)) is not None]
    outside = {*place.outside_data, *(text for found in inputs for text in found.outside_data)}
    record = Record(
        **order.record_fields,
        status=status,
        started_at=started_at,
        duration_seconds=round(time.monotonic() - start, 3),
        peak_memory_bytes=peak_memory_bytes(device),
        provenance={**provenance, **_device_name(device), **place.notes},
        failure=failure,
        used_withheld_data=place.used_withheld_data or any(found.used_withheld_data for found in inputs),
        outside_data=tuple(sorted(outside)),
        images_seen=place.images_seen,
        optimiser_steps=place.optimiser_steps,
    )
    return store.commit(record, results)


def _device_name(device: str) -> dict[str, JSON]:
    if not device.startswith("cuda"):
        return {}
    import torch

    return {"device_name": torch.cuda.get_device_name(device)}


def _is_out_of_memory(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or "DefaultCPUAllocator: can't allocate" in str(error)


def _message(error: Exception) -> str:
    if isinstance(error, BalancebenchError):
        return str(error)
    return f"{type(error).__name__}: {error}".strip()
