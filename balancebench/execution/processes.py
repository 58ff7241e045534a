"""Worker processes on this machine, one for each slot, warm between steps.

A step that outlasts its time limit, fills memory past its limit, or whose process dies ends alone: its record says
why, the slot gets a new process, and the run goes on. Slots that share a GPU take a step only where it fits beside the
others (see `room`).
"""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path

from balancebench.config import JSON
from balancebench.execution.devices import slot_devices
from balancebench.execution.executor import EpochEnded, Finished, Progressed, Site
from balancebench.execution.gpu_room import GpuMemory, GpuRoom, kind_of
from balancebench.execution.worker_process import WorkerProcess
from balancebench.stages.judge import Judge
from balancebench.step import Step, record_fields, step_to_json
from balancebench.store import Status, Store, commit_failure, failure_record

__all__ = ["ProcessExecutor"]

POLL_SECONDS = 0.1
START_UP_SECONDS = 300.0  # for imports, which no time limit counts
MIB = 1024 * 1024


@dataclass(slots=True)
class _Slot:
    """One device slot: its process, when there is one, and the step it works on.

    started, begun: when the step was handed over, and when its imports were done (None before), as time.monotonic().
    """

    device: str
    settings: dict[str, JSON]
    log: Path
    process: WorkerProcess | None = None
    step: Step | None = None
    started: float = 0.0
    begun: float | None = None


class ProcessExecutor:
    """Worker processes on the devices of a site; several may share a GPU, as its memory allows."""

    def __init__(self, site: Site, rooms: Mapping[str, GpuRoom] | None = None) -> None:
        """Start nothing yet. rooms: by device, instead of those that shared GPUs get."""
        devices = slot_devices(site.device, site.jobs, jobs_per_gpu=site.jobs_per_gpu, threads=site.threads)
        devices = devices[: max(1, site.most)]
        self.description = f"{len(devices)} worker{'s' if len(devices) > 1 else ''} on {devices[0].partition(':')[0]}"
        self._store = Store(site.store_root)
        self._site = site
        self._limits = site.limits
        self._logs = self._store.temporary_folder()
        self._slots = [
            _Slot(
                device=device, settings=self._settings(device, devices.count(device)), log=self._logs / f"{index}.log"
            )
            for index, device in enumerate(devices)
        ]
        shared = {device for device in devices if device.startswith("cuda") and devices.count(device) > 1}
        self._rooms = dict(rooms or {device: GpuRoom() for device in shared})
        self._judge = Judge(self._store)
        self._again: list[Step] = []  # to be run once more, alone

    def offers(self, requirement: str) -> bool:
        """Whether one of the devices has it."""
        return requirement != "cuda" or any(slot.device.startswith("cuda") for slot in self._slots)

    def takes(self, step: Step) -> bool:
        """Whether a slot has nothing to do, nothing is to be done again first, and the device has room."""
        free = sum(slot.step is None for slot in self._slots)
        return free > len(self._again) and bool(self._slots_for(step))

    def submit(self, step: Step) -> None:
        """Start a step in the first idle slot that has a warm process, else in a new one."""
        self._start_in(self._slots_for(step), step)

    def _slots_for(self, step: Step) -> list[_Slot]:
        """Return the idle slots whose device has room for the step."""
        free = [slot for slot in self._slots if slot.step is None]
        if not self._rooms:
            return free
        kind = kind_of(step)
        return [slot for slot in free if slot.device not in self._rooms or self._rooms[slot.device].admits(kind)]

    def _start_in(self, free: Sequence[_Slot], step: Step) -> None:
        slot = next((slot for slot in free if slot.process is not None), free[0])
        if self._rooms:
            kind = kind_of(step)
            for room in self._rooms.values():
                room.waits_no_more(kind)
            if slot.device in self._rooms:
                self._rooms[slot.device].start(step.key, kind)
        if slot.process is not None:
            try:
                slot.process.send(step_to_json(step))
            except OSError:  # it died between two steps
                self._end(slot)
        if slot.process is None:
            slot.process = WorkerProcess(slot.settings, slot.log)
            with suppress(OSError):  # it died at once: the next poll sees it
                slot.process.send(step_to_json(step))
        slot.step, slot.started, slot.begun = step, time.monotonic(), None

    def poll(self, seconds: float) -> Sequence[Finished]:
        """Return what happened, waiting at most `seconds` for something."""
        for step in list(self._again):
            if free := self._slots_for(step):
                self._again.remove(step)
                self._start_in(free, step)
        deadline = time.monotonic() + seconds
        while True:
            busy = [(slot, slot.process) for slot in self._slots if slot.step is not None and slot.process is not None]
            remaining = max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))
            if busy:
                wait([process.pipe for _, process in busy], timeout=remaining)
            events: list[Finished] = []
            for slot, process in busy:
                events += self._events(slot, process)
            if events or not busy or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        """Kill every worker and remove their logs."""
        for slot in self._slots:
            self._end(slot)
        shutil.rmtree(self._logs, ignore_errors=True)

    def _settings(self, device: str, workers_on_device: int) -> dict[str, JSON]:
        return {
            "store_root": str(self._site.store_root),
            "data_root": str(self._site.data_root),
            "device": device,
            "workers_on_device": workers_on_device,
            "threads": self._site.threads,
            "compilation": self._site.compilation,
            "checkpoint_seconds": self._site.checkpoint_seconds,
        }

    def _end(self, slot: _Slot) -> None:
        if slot.process is not None:
            slot.process.end()
        slot.process, slot.step = None, None

    def _events(self, slot: _Slot, process: WorkerProcess) -> list[Finished]:
        step = slot.step
        assert step is not None  # noqa: S101 - the slot is busy
        was_alive = process.is_alive  # before the last of what it says is read
        try:
            while (note := process.note()) is not None:
                if note["kind"] == "finished":
                    slot.step = None
                    if note["is_spent"]:  # the step changed what the next one would compute with
                        self._end(slot)
                    finished = Finished(step.key, note["status"], note["seconds"], note["message"])
                    memory = note["gpu_memory"]
                    return self._ended(slot, step, finished, GpuMemory(*memory) if memory else None)
                if note["kind"] == "begun":
                    slot.begun = time.monotonic()
                    continue
                if note["kind"] == "judge":
                    self._answer(process, note["dataset"])
                    continue
                if note["kind"] == "epoch":
                    self._site.on_epoch(EpochEnded(step.key, note["epoch"], note["values"]))
                    continue
                self._site.on_progress(Progressed(step.key, note["done"], note["total"], note["message"]))
        except (EOFError, OSError):
            return [self._fail(slot, process, "failed", process.death())]
        except (ValueError, KeyError, TypeError) as error:
            message = f"the worker process said what no worker says ({type(error).__name__}); it was ended"
            return [self._fail(slot, process, "failed", message)]
        if not was_alive:  # and a child of its holds the pipe open
            return [self._fail(slot, process, "failed", process.death())]
        past = self._past_limit(slot, process)
        return [] if past is None else [self._fail(slot, process, *past)]

    def _past_limit(self, slot: _Slot, process: WorkerProcess) -> tuple[Status, str] | None:
        """Return the status and message of a step that takes more than it may, or None."""
        seconds, memory_bytes = self._limits.seconds, self._limits.memory_bytes
        if seconds is not None:
            elapsed = time.monotonic() - slot.started
            if slot.begun is None and elapsed > max(seconds, START_UP_SECONDS):
                return "timeout", f"stopped after {elapsed:.0f} s of imports, before it began"
            if slot.begun is not None and time.monotonic() - slot.begun > seconds:
                return "timeout", f"stopped at the time limit of {seconds:g} s"
        if memory_bytes is not None and (used := process.memory_bytes) > memory_bytes:
            return "out_of_memory", f"stopped at {used // MIB} MiB, past the memory limit of {memory_bytes // MIB} MiB"
        return None

    def _answer(self, process: WorkerProcess, dataset_key: str) -> None:
        """Tell a training how good its test logits are: workers know no test labels."""
        import numpy as np

        logits_NK = np.load(io.BytesIO(process.receive()), allow_pickle=False)
        process.send(json.dumps(asdict(self._judge(dataset_key, logits_NK))).encode())

    def _ended(self, slot: _Slot, step: Step, finished: Finished, memory: GpuMemory | None) -> list[Finished]:
        """Return the end of a step, or nothing where it is to run once more, alone."""
        room = self._rooms.get(slot.device)
        if room is None:
            return [finished]
        if finished.status == "out_of_memory" and room.retry_alone(step.key):
            self._again.append(step)
            return []
        room.finish(step.key, memory)
        return [finished]

    def _fail(self, slot: _Slot, process: WorkerProcess, status: Status, message: str) -> Finished:
        """End the slot's process, and commit a record in its stead."""
        step = slot.step
        assert step is not None  # noqa: S101 - only busy slots fail
        seconds = round(time.monotonic() - slot.started, 3)
        self._end(slot)
        if slot.device in self._rooms:
            self._rooms[slot.device].finish(step.key, None)
        record = failure_record(record_fields(step), status, message, seconds)
        provenance = {name: slot.settings[name] for name in ("device", "threads")}
        record = record.model_copy(update={"provenance": provenance, "output": process.last_words()})
        standing = commit_failure(self._store, record)
        if standing.status == "done":  # it finished just before it was stopped
            return Finished(step.key, "done", standing.duration_seconds, "")
        return Finished(step.key, status, seconds, standing.failure.message if standing.failure else message)
