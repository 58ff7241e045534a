"""Runs one step and commits what came of it, whatever that is."""

from __future__ import annotations

import shutil
import traceback
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from balancebench.config import JSON, Compilation
from balancebench.contracts import Progress
from balancebench.errors import BalancebenchError, StoreError
from balancebench.registry import Registry
from balancebench.stage import STAGES
from balancebench.stages.memory import peak_memory_bytes, reset_peak_memory
from balancebench.stages.workplace import Workplace
from balancebench.step import Step, input_keys, record_fields
from balancebench.store import Failure, Record, Status, Store
from balancebench.store.step_files import FileState, altered_since

__all__ = ["CHECKPOINT_SECONDS", "run_step"]

CHECKPOINT_SECONDS = 180.0
RUN_AGAIN = "run the suite again, and it is computed anew"


def run_step(
    step: Step,
    *,
    store: Store,
    registry: Registry,
    device: str,
    data_root: Path,
    provenance: dict[str, JSON],
    progress: Progress,
    compilation: Compilation = "auto",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Record:
    """Run a step and commit its record: done with its files, or failed or out_of_memory with the error."""
    results, scratch = store.temporary_folder(), store.temporary_folder()
    workplace = Workplace(
        step=step,
        store=store,
        registry=registry,
        device=device,
        compilation=compilation,
        checkpoint_seconds=checkpoint_seconds,
        data_root=data_root,
        provenance=provenance,
        results=results,
        scratch=scratch,
        progress=progress,
    )
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    reset_peak_memory(device)
    status: Status = "done"
    failure: Failure | None = None
    try:
        states = [state for key in dict.fromkeys(input_keys(step.inputs)) for state in _verified(store, key)]
        module_name, _, function = STAGES[step.stage].run.partition(":")
        getattr(import_module(module_name), function)(workplace)
        if (altered := altered_since(states)) is not None:  # what is mapped is read long after it was compared
            raise StoreError(f"{altered} was altered while this step read it; {RUN_AGAIN}")
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
    inputs = [record for key in input_keys(step.inputs) if (record := store.read_done(key)) is not None]
    outside = {*workplace.outside_data, *(text for record in inputs for text in record.outside_data)}
    warnings = {*workplace.warnings, *(text for record in inputs for text in record.warnings)}
    record = Record(
        **record_fields(step),
        status=status,
        started_at=started_at,
        duration_seconds=round(workplace.seconds, 3),
        peak_memory_bytes=max(workplace.earlier_peak_bytes, peak_memory_bytes(device)),
        provenance={**provenance, **_device_name(device), **workplace.notes},
        failure=failure,
        used_withheld_data=workplace.used_withheld_data or any(record.used_withheld_data for record in inputs),
        outside_data=tuple(sorted(outside)),
        warnings=tuple(sorted(warnings)),
        images_seen=workplace.images_seen,
        optimiser_steps=workplace.optimiser_steps,
    )
    return store.commit(record, results)


def _verified(store: Store, key: str) -> list[FileState]:
    """Compare all files of an input with their SHA-256; what a stage reads is never believed unseen."""
    files = store.files(key)
    try:
        return files.verify()
    except StoreError as error:
        raise StoreError(f"its input {files.record.stage} of {files.record.label}: {error}; {RUN_AGAIN}") from error


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
