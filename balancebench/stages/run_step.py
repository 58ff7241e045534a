"""Runs one step and commits what came of it, whatever that is."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from balancebench.config import JSON, Compilation
from balancebench.contained import contained
from balancebench.contracts import Progress
from balancebench.errors import BalancebenchError, StoreError
from balancebench.registry import Registry
from balancebench.stage import STAGES
from balancebench.stages.input_files import InputFiles
from balancebench.stages.judge import TestJudge
from balancebench.stages.memory import peak_memory_bytes, reset_peak_memory, uses_gpu
from balancebench.stages.process_state import ProcessChanges, guarded_process
from balancebench.stages.start_up import start_up, still_computes
from balancebench.stages.workplace import EpochEndedCall, Workplace
from balancebench.step import Step, input_keys, record_fields
from balancebench.store import Failure, Record, Status, Store, commit_failure, failure_record

__all__ = ["CHECKPOINT_SECONDS", "StepEnd", "run_step"]

CHECKPOINT_SECONDS = 180.0
# What comes as another error than MemoryError: of the processor's allocator, of CUDA's own start and of pinned memory,
# and of its libraries, which take memory past torch's.
OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnd:
    """How a step ended: its record, and what it changed in its process that could not be put back."""

    record: Record
    lasting_changes: tuple[str, ...]


def _nothing_printed() -> str:
    return ""


def _nothing() -> None:
    return


def _no_epoch(_epoch: int, _values: Mapping[str, float]) -> None:
    return


def run_step(
    step: Step,
    *,
    store: Store,
    registry: Registry,
    device: str,
    data_root: Path,
    provenance: dict[str, JSON],
    progress: Progress,
    judge: TestJudge,
    begun: Callable[[], object] = _nothing,
    epoch_ended: EpochEndedCall = _no_epoch,
    compilation: Compilation = "auto",
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    is_worker: bool = False,
    printed: Callable[[], str] = _nothing_printed,
) -> StepEnd:
    """Run a step and commit its record: done with its files, or failed or out_of_memory with the error.

    judge: tells how good test logits are. begun: called once imports are done, from when on time counts.
    epoch_ended: hears, epoch by epoch, what a classifier reports of its training.
    is_worker: whether this process does nothing but run steps. printed: returns the end of what the step printed, for
    its record.
    """
    start_up_seconds = start_up(step, registry, device)
    begun()
    try:
        results, scratch = store.temporary_folder(), store.temporary_folder()
    except StoreError as error:
        return StepEnd(record=failure_record(record_fields(step), "failed", str(error)), lasting_changes=())
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
        judge=judge,
        epoch_ended=epoch_ended,
    )
    started_at = datetime.now(UTC).isoformat(timespec="seconds")
    computes_on = (
        device if STAGES[step.stage].uses_device else "cpu"
    )  # what a warm worker did before is not this step's
    reset_peak_memory(computes_on)
    status: Status = "done"
    failure: Failure | None = None
    changes = ProcessChanges()
    try:
        with workplace.aside():
            input_files = InputFiles.of(step, store)
        with guarded_process(step.key, step.threads, is_worker=is_worker) as changes:
            module_name, _, function = STAGES[step.stage].run.partition(":")
            with contained():
                getattr(import_module(module_name), function)(workplace)
        input_files.refuse_changes()
    except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; its record says how
        status = "out_of_memory" if _is_out_of_memory(error) else "failed"
        failure = Failure(message=_message(error), traceback=traceback.format_exc())
        if not still_computes(device):
            changes.lasting.append("CUDA, which refuses all work after such an error")
        shutil.rmtree(results, ignore_errors=True)  # half-written results help nobody
        with suppress(OSError):
            results.mkdir()
    except BaseException:
        shutil.rmtree(results, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    inputs = [record for key in input_keys(step.inputs) if (record := store.read_done(key)) is not None]
    outside = {*workplace.outside_data, *(text for record in inputs for text in record.outside_data)}
    warnings = {*workplace.warnings, *(text for record in inputs for text in record.warnings)}
    has_answers = status == "done" and workplace.has_answers
    record = Record(
        **record_fields(step),
        status=status,
        started_at=started_at,
        duration_seconds=round(workplace.seconds, 3),
        start_up_seconds=round(start_up_seconds, 3),
        peak_memory_bytes=max(workplace.earlier_peak_bytes, peak_memory_bytes(computes_on)),
        provenance={**provenance, **_device_name(computes_on), **workplace.notes, **_change_notes(changes)},
        has_answers=has_answers,
        failure=failure,
        used_withheld_data=workplace.used_withheld_data or any(record.used_withheld_data for record in inputs),
        outside_data=tuple(sorted(outside)),
        warnings=tuple(sorted(warnings)),
        images_seen=workplace.images_seen,
        optimiser_steps=workplace.optimiser_steps,
        output=printed(),
    )
    try:
        if has_answers:
            with store.answers.opened():
                store.answers.commit(record.model_copy(update={"has_answers": False}), workplace.answers)
        record = store.commit(record, results)
    except StoreError as error:
        shutil.rmtree(results, ignore_errors=True)  # whose room the next line may need
        record = commit_failure(
            store, failure_record(record_fields(step), "failed", str(error), record.duration_seconds)
        )
    return StepEnd(record=record, lasting_changes=tuple(changes.lasting))


def _change_notes(changes: ProcessChanges) -> dict[str, JSON]:
    notes = {"process_restored": changes.restored, "process_replaced_for": changes.lasting}
    return {name: ", ".join(changed) for name, changed in notes.items() if changed}


def _device_name(device: str) -> dict[str, JSON]:
    if not uses_gpu(device):
        return {}
    import torch

    return {"device_name": torch.cuda.get_device_name(device), "tf32": "off"}  # see `guarded_process`


def _is_out_of_memory(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "OutOfMemoryError"}) or any(text in str(error) for text in OUT_OF_MEMORY)


def _message(error: Exception) -> str:
    if isinstance(error, BalancebenchError):
        return str(error)
    return f"{type(error).__name__}: {error}".strip()
