"""Worker processes on this machine, one for each slot, warm between steps.

A step that outlasts its time limit, fills memory past its limit, or whose process dies ends alone: its record says
why, the slot gets a new process, and the run goes on. Slots that share a GPU take a step only where it fits beside the
others (see `room`).
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

import psutil

from balancebench.config import JSON
from balancebench.executors.protocol import Finished, Limits, Progressed, Site
from balancebench.executors.room import GpuMemory, GpuRoom, kind_of
from balancebench.executors.worker import worker_main
from balancebench.stages.order import StepOrder
from balancebench.store import Status, Store, failure_record

__all__ = ["LocalExecutor"]

POLL_SECONDS = 0.1
LOG_TAIL_CHARACTERS = 2000
MIB = 1024 * 1024


@dataclass(slots=True)
class _Slot:
    """One device slot: its process, when there is one, and the order it works on."""

    device: str
    settings: dict[str, JSON]
    log: Path
    process: BaseProcess | None = None
    pipe: Connection | None = None
    order: StepOrder | None = None
    started: float = 0.0
    reported: list[Progressed | Finished] = field(default_factory=list[Progressed | Finished])


class LocalExecutor:
    """`devices` names the device of each slot; several slots may share one. `threads` is the CPU threads of each.

    rooms: by device, where slots share one; GPUs that are shared get theirs without being named.
    """

    def __init__(
        self,
        site: Site,
        devices: Sequence[str],
        threads: int,
        limits: Limits,
        rooms: Mapping[str, GpuRoom] | None = None,
    ) -> None:
        self.slots = len(devices)
        self._store = Store(site.store_root)
        self._site = site
        self._limits = limits
        self._spawn = multiprocessing.get_context("spawn")
        self._logs = self._store.temporary_folder()
        self._slots = [
            _Slot(device=device, settings=self._settings(device, threads), log=self._logs / f"{index}.log")
            for index, device in enumerate(devices)
        ]
        shared = {device for device in devices if device.startswith("cuda") and devices.count(device) > 1}
        self._rooms = dict(rooms or {device: GpuRoom() for device in shared})
        self._again: list[StepOrder] = []  # to be run once more, alone

    @property
    def idle(self) -> int:
        """How many slots have nothing to do and nothing to do again."""
        return max(0, sum(slot.order is None for slot in self._slots) - len(self._again))

    def takes(self, order: StepOrder) -> bool:
        """Whether the step can start now."""
        return self.idle > 0 and bool(self._slots_for(order))

    def submit(self, order: StepOrder) -> None:
        """Start a step in the first idle slot that has a warm process, else in a new one."""
        self._start_in(self._slots_for(order), order)

    def _slots_for(self, order: StepOrder) -> list[_Slot]:
        """Return the idle slots whose device has room for the step."""
        free = [slot for slot in self._slots if slot.order is None]
        if not self._rooms:
            return free
        kind = _kind(order)
        return [slot for slot in free if slot.device not in self._rooms or self._rooms[slot.device].admits(kind)]

    def _start_in(self, free: Sequence[_Slot], order: StepOrder) -> None:
        slot = next((slot for slot in free if slot.process is not None), free[0])
        if slot.device in self._rooms:
            self._rooms[slot.device].start(order.key, _kind(order))
        if slot.process is None or not slot.process.is_alive():
            self._start(slot)
        assert slot.pipe is not None  # noqa: S101 - set by _start
        slot.order, slot.started = order, time.monotonic()
        try:
            slot.pipe.send_bytes(order.model_dump_json().encode())
        except OSError:  # it died between two steps
            self._end(slot)
            self._start(slot)
            slot.pipe.send_bytes(order.model_dump_json().encode())

    def poll(self, seconds: float) -> Sequence[Progressed | Finished]:
        """Return what happened, waiting at most `seconds` for something."""
        for order in list(self._again):
            if free := self._slots_for(order):
                self._again.remove(order)
                self._start_in(free, order)
        deadline = time.monotonic() + seconds
        while True:
            busy = [slot for slot in self._slots if slot.order is not None and slot.pipe is not None]
            remaining = max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))
            ready = wait([slot.pipe for slot in busy if slot.pipe is not None], timeout=remaining) if busy else []
            events: list[Progressed | Finished] = []
            for slot in busy:
                events += self._events(slot, slot.pipe in ready)
            if events or not busy or time.monotonic() >= deadline:
                return events

    def close(self) -> None:
        """Kill every worker and remove their logs."""
        for slot in self._slots:
            self._end(slot)
        for log in self._logs.iterdir():
            log.unlink()
        self._logs.rmdir()

    def _settings(self, device: str, threads: int) -> dict[str, JSON]:
        return {
            "store_root": str(self._site.store_root),
            "data_root": str(self._site.data_root),
            "device": device,
            "threads": threads,
            "compilation": self._site.compilation,
            "provenance": {**self._site.provenance, "device": device, "threads": threads},
        }

    def _start(self, slot: _Slot) -> None:
        ours, theirs = self._spawn.Pipe()
        process = self._spawn.Process(
            target=worker_main, args=(theirs, json.dumps(slot.settings), slot.log), daemon=True
        )
        process.start()
        theirs.close()
        slot.process, slot.pipe = process, ours

    def _end(self, slot: _Slot) -> None:
        if slot.process is not None:
            for child in _family(slot.process):
                child.kill()
            slot.process.join()
        if slot.pipe is not None:
            slot.pipe.close()
        slot.process, slot.pipe, slot.order = None, None, None

    def _events(self, slot: _Slot, readable: bool) -> list[Progressed | Finished]:
        order, pipe, process = slot.order, slot.pipe, slot.process
        assert order is not None and pipe is not None and process is not None  # noqa: S101, PT018 - the slot is busy
        events: list[Progressed | Finished] = []
        try:
            while readable and pipe.poll():
                note = json.loads(pipe.recv_bytes())
                if note["kind"] == "finished":
                    slot.order = None
                    finished = Finished(order.key, note["status"], note["seconds"], note["message"])
                    memory = note["gpu_memory"]
                    return events + self._ended(slot, order, finished, GpuMemory(*memory) if memory else None)
                events.append(Progressed(order.key, note["done"], note["total"], note["message"]))
        except (EOFError, OSError):
            process.join()
            return [*events, self._fail(slot, "failed", _death(process.exitcode))]
        elapsed = time.monotonic() - slot.started
        if self._limits.seconds is not None and elapsed > self._limits.seconds:
            message = f"stopped at the time limit of {self._limits.seconds:g} s"
            return [*events, self._fail(slot, "timeout", message)]
        if self._limits.memory_bytes is not None and (used := _memory(process)) > self._limits.memory_bytes:
            limit_mib = self._limits.memory_bytes // MIB
            message = f"stopped at {used // MIB} MiB, past the memory limit of {limit_mib} MiB"
            return [*events, self._fail(slot, "out_of_memory", message)]
        return events

    def _ended(self, slot: _Slot, order: StepOrder, finished: Finished, memory: GpuMemory | None) -> list[Finished]:
        """Return the end of a step, or nothing where it is to run once more, alone."""
        room = self._rooms.get(slot.device)
        if room is None:
            return [finished]
        if finished.status == "out_of_memory" and room.retry_alone(order.key):
            self._again.append(order)
            return []
        room.finish(order.key, memory)
        return [finished]

    def _fail(self, slot: _Slot, status: Status, message: str) -> Finished:
        """End the slot's process, and commit a record in its stead."""
        order = slot.order
        assert order is not None  # noqa: S101 - only busy slots fail
        seconds = round(time.monotonic() - slot.started, 3)
        self._end(slot)
        if slot.device in self._rooms:
            self._rooms[slot.device].finish(order.key, None)
        printed = slot.log.read_text(encoding="utf-8", errors="replace") if slot.log.exists() else ""
        record = failure_record(order.record_fields, status, message, seconds, printed[-LOG_TAIL_CHARACTERS:])
        record = record.model_copy(update={"provenance": slot.settings["provenance"]})
        standing = self._store.commit(record)
        if standing.status == "done":  # it finished just before it was stopped
            return Finished(order.key, "done", standing.duration_seconds, "")
        return Finished(order.key, status, seconds, message)


def _kind(order: StepOrder) -> str | None:
    components = cast("Mapping[str, JSON]", order.work.get("components", {}))
    return kind_of(order.stage, order.label, components)


def _family(process: BaseProcess) -> list[psutil.Process]:
    try:
        worker = psutil.Process(process.pid)
        return [*worker.children(recursive=True), worker]
    except psutil.NoSuchProcess:
        return []


def _memory(process: BaseProcess) -> int:
    used = 0
    for member in _family(process):
        try:
            used += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return used


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        hint = "; the system kills processes so when memory runs out" if exit_code == -9 else ""
        return f"the worker process was killed by signal {-exit_code}{hint}"
    return f"the worker process ended with exit code {exit_code} in the middle of the step"
