"""Runs steps on the nodes of a Ray cluster: same plan, same store, on a CPU the same bytes as on one machine.

Only this process, the head, decides, holds the locks of steps and judges what became of them. A node that dies takes
its steps with it once; they are run again elsewhere, and fail where that one dies too.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

# Under `uv run`, Ray would send the working folder to each node and start its processes with `uv run` there, which
# builds another environment. Ours are the nodes' own, and compared. Ray reads this when it is imported.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

import ray
from ray.exceptions import RayActorError, RayError

from balancebench.errors import BalancebenchError, StoreError
from balancebench.execution.executor import Finished, Progressed, Site
from balancebench.execution.ray_nodes import Node, NodeReport, alive_nodes, on_node, refusal, reports_of
from balancebench.execution.ray_places import SlotPlan, planned_slots
from balancebench.execution.ray_slot import RaySlot, SlotSettings, StepCarried, clear_node
from balancebench.execution.step_parcels import packed_step, unpack_step
from balancebench.plain_text import visible
from balancebench.step import Step, input_keys, record_fields, step_to_json
from balancebench.store import Store, commit_failure, failure_record

__all__ = ["RayExecutor"]

POLL_SECONDS = 0.2
LOOK_SECONDS = 5.0  # how often to look for nodes that have come
DESERTED_SECONDS = 120.0  # how long to wait for a node that can take a step, where there is none
CLEARING_SECONDS = 10.0
ATTEMPTS = 2  # at a step whose node dies


@dataclass(slots=True, kw_only=True)
class _Slot:
    """A slot on a node. starting: answers once it has its resources, then None. step, events: what it works on."""

    planned: SlotPlan
    actor: Any
    starting: Any
    step: Step | None = None
    events: Any = None
    started: float = 0.0


class RayExecutor:
    """Slots on the nodes of the cluster at `site.ray_address`."""

    def __init__(self, site: Site, *, sees_store: bool | None = None) -> None:
        """Join the cluster and start slots; sees_store: whether nodes work on the store itself, None asks each.

        Raises BalancebenchError where there is no cluster, or none of its nodes can be used.
        """
        self._site = site
        self._sees_store = sees_store
        self._store = Store(site.store_root.absolute())
        self._run = uuid.uuid4().hex
        self._owns_connection = _joined(site.ray_address)
        self._slots: list[_Slot] = []
        self._planned: list[SlotPlan] = []  # all that have stood
        self._nodes: dict[str, Node] = {}  # that take steps, by number
        self._carrying: set[str] = set()  # numbers of nodes that do not see the store
        self._refused: dict[str, str] = {}  # number -> why
        self._parcels: dict[str, Any] = {}  # key -> reference in Ray's object store
        self._attempts: dict[str, int] = {}
        self._again: list[Step] = []
        self._looked = self._deserted_since = time.monotonic()
        try:
            self._welcome(alive_nodes())
            if not self._slots:
                reasons = "".join(f"\n  {visible(reason)}" for reason in self._refused.values())
                raise BalancebenchError(f"no node of the Ray cluster can take steps{reasons}")
        except BaseException:
            self.close()
            raise

    @property
    def description(self) -> str:
        """Where steps run, and which nodes were refused."""
        devices = sorted({slot.planned.device for slot in self._slots})
        nodes = {slot.planned.node.number for slot in self._slots}
        refused = "".join(f"; {visible(reason)}" for reason in self._refused.values())
        where = f"{', '.join(devices)} of {_counted(len(nodes), 'Ray node')}"
        return f"{_counted(len(self._slots), 'worker')} on {where}{refused}"

    def offers(self, requirement: str) -> bool:
        """Whether a slot has it, or had it until its node died."""
        return any(planned.has(requirement) for planned in self._planned)

    def takes(self, step: Step) -> bool:
        """Whether an idle slot can take the step, or no slot ever will, which `offers` says of it.

        Raises BalancebenchError where those that could are gone, and none has come for long.
        """
        if not all(self.offers(requirement) for requirement in step.requires):
            return True
        if all(slot.step is None for slot in self._slots):
            self._look_for_nodes()
            if not self._idle_for(step):
                self._await_slots()
        self._refuse_desert(step)
        return len(self._idle_for(step)) > len(self._again)

    def submit(self, step: Step) -> None:
        """Start a step in an idle slot."""
        self._start_in(self._idle_for(step)[0], step)

    def poll(self, seconds: float) -> Sequence[Finished]:
        """Return the steps that ended, waiting at most `seconds` for one."""
        self._look_for_nodes()
        for step in list(self._again):
            self._refuse_desert(step)
            if idle := self._idle_for(step):
                self._again.remove(step)
                self._start_in(idle[0], step)
        busy = {slot.events: slot for slot in self._slots if slot.step is not None}
        starting = [slot.starting for slot in self._slots if slot.starting is not None]
        if not busy:
            self._await_slots()
            return []
        told, _ = ray.wait([*busy, *starting], num_returns=1, timeout=seconds, fetch_local=False)
        if not told:
            return []
        told, _ = ray.wait([*busy, *starting], num_returns=len(busy) + len(starting), timeout=0, fetch_local=False)
        self._take_started()
        return [finished for events in told if events in busy for finished in self._events(busy[events])]

    def close(self) -> None:
        """End every slot, what steps left on nodes of their own, and the connection where it is this run's."""
        for slot in self._slots:
            with suppress(RayError):
                ray.kill(slot.actor)
        self._slots.clear()
        clearing = [
            ray.remote(clear_node).options(num_cpus=0, scheduling_strategy=on_node(number)).remote(self._run)
            for number in self._carrying
        ]
        if clearing:
            ray.wait(clearing, num_returns=len(clearing), timeout=CLEARING_SECONDS)
        self._parcels.clear()
        if self._owns_connection:
            ray.shutdown()

    def _welcome(self, nodes: Sequence[Node]) -> None:
        """Start slots on those of the nodes that were not asked yet and are as they must be."""
        folder = self._store.temporary_folder()
        marker = folder / "marker"
        marker.write_text(self._run, encoding="ascii")
        try:
            strangers = [node for node in nodes if node.number not in self._nodes and node.number not in self._refused]
            for node, report in zip(strangers, reports_of(strangers, marker, self._run), strict=True):
                self._admit(node, report)
        finally:
            marker.unlink()
            folder.rmdir()
        self._look_again()

    def _admit(self, node: Node, report: NodeReport | str) -> None:
        """Note whether a node takes steps, and whether on the store itself."""
        if isinstance(report, str):
            self._refused[node.number] = report
            return
        if (reason := refusal(node, report.installed)) is not None:
            self._refused[node.number] = reason
            return
        self._nodes[node.number] = node
        if not (report.sees_store if self._sees_store is None else self._sees_store):
            self._carrying.add(node.number)

    def _look_again(self) -> None:
        """Start the slots that the nodes have room for, and that are not there."""
        site = self._site
        wanted = planned_slots(list(self._nodes.values()), site)
        standing = [slot.planned for slot in self._slots]
        for planned in wanted:
            if planned in standing:
                standing.remove(planned)
                continue
            carries = planned.node.number in self._carrying
            settings = SlotSettings(
                store_root=None if carries else self._store.root,
                data_root=None if carries else site.data_root.absolute(),
                run=self._run,
                device=planned.device,
                threads=site.threads,
                limits=site.limits,
                compilation=site.compilation,
                checkpoint_seconds=site.checkpoint_seconds,
            )
            remote_slot: Any = ray.remote(RaySlot)
            where = on_node(planned.node.number)
            actor = remote_slot.options(
                num_cpus=planned.cpus, num_gpus=planned.gpus, max_restarts=0, scheduling_strategy=where
            ).remote(settings)
            self._planned.append(planned)
            self._slots.append(_Slot(planned=planned, actor=actor, starting=actor.ready.remote()))

    def _look_for_nodes(self) -> None:
        """Now and then, see which nodes have come."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        nodes = alive_nodes()
        alive = {node.number for node in nodes}
        self._nodes = {number: node for number, node in self._nodes.items() if number in alive}
        if all(node.number in self._nodes or node.number in self._refused for node in nodes):
            self._look_again()  # for slots that died on nodes that live
        else:
            self._welcome(nodes)

    def _await_slots(self) -> None:
        """Wait a moment for slots that start, or for nodes where there is no slot at all."""
        starting = [slot.starting for slot in self._slots if slot.starting is not None]
        if starting:
            ray.wait(starting, num_returns=1, timeout=POLL_SECONDS)
            self._take_started()
        elif not self._slots:
            time.sleep(POLL_SECONDS)

    def _take_started(self) -> None:
        waiting = {slot.starting: slot for slot in self._slots if slot.starting is not None}
        started, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=0) if waiting else ([], [])
        for answer in started:
            slot = waiting[answer]
            try:
                ray.get(answer)
                slot.starting = None
            except RayError as error:
                node = slot.planned.node
                self._slots.remove(slot)
                self._nodes.pop(node.number, None)
                self._refused[node.number] = f"node {node.host} started no worker: {_last_line(error)}"

    def _refuse_desert(self, step: Step) -> None:
        """Raise BalancebenchError where no slot that could take the step has stood for long."""
        if any(slot.planned.suits(step) for slot in self._slots):
            self._deserted_since = time.monotonic()
        elif time.monotonic() - self._deserted_since > DESERTED_SECONDS:
            raise BalancebenchError(
                f"no node of the Ray cluster can take {step.stage} of {step.label} any more; what is done is kept, and "
                "the same command continues once nodes are back"
            )
        else:
            time.sleep(POLL_SECONDS)

    def _idle_for(self, step: Step) -> list[_Slot]:
        """Return idle slots that can take a step; data is loaded where the head's disk is, where that can be."""
        idle = [
            slot for slot in self._slots if slot.step is None and slot.starting is None and slot.planned.suits(step)
        ]
        if step.stage == "load" and any(slot.planned.node.number not in self._carrying for slot in self._slots):
            return [slot for slot in idle if slot.planned.node.number not in self._carrying]
        return idle

    def _start_in(self, slot: _Slot, step: Step) -> None:
        self._attempts[step.key] = self._attempts.get(step.key, 0) + 1
        parcels = {}
        if slot.planned.node.number in self._carrying:
            parcels = {key: self._parcel(key) for key in input_keys(step.inputs)}
        slot.step, slot.started = step, time.monotonic()
        run = slot.actor.run.options(num_returns="streaming")
        slot.events = run.remote(step_to_json(step), parcels)

    def _parcel(self, key: str) -> Any:
        if key not in self._parcels:
            self._parcels[key] = ray.put(packed_step(self._store, key))
        return self._parcels[key]

    def _events(self, slot: _Slot) -> list[Finished]:
        """Return the end of the slot's step where the event that is there is that."""
        step = slot.step
        assert step is not None  # noqa: S101 - the slot is busy
        try:
            event: Any = ray.get(next(slot.events))
        except RayActorError:
            return self._lost(slot, step)
        except (RayError, StopIteration) as error:  # our own code failed there, or the node's disk
            slot.step, slot.events = None, None
            return [self._failed(slot, step, f"on node {slot.planned.node.host}: {_last_line(error)}")]
        if isinstance(event, Progressed):
            self._site.on_progress(event)
            return []
        slot.step, slot.events = None, None
        if not isinstance(event, StepCarried):
            return [event]
        try:
            unpack_step(self._store, step.key, event.parcel)
        except StoreError as error:
            return [self._failed(slot, step, f"what node {slot.planned.node.host} sent is not taken: {error}")]
        return [event.finished]

    def _lost(self, slot: _Slot, step: Step) -> list[Finished]:
        """Run the step of a slot that died once more, or give it up."""
        self._slots.remove(slot)
        with suppress(RayError):
            ray.kill(slot.actor)
        record = self._store.read_whole(step.key)
        if record is not None:  # it finished just before
            return [Finished(step.key, "done", record.duration_seconds, "")]
        if self._attempts[step.key] < ATTEMPTS:
            self._again.append(step)
            return []
        message = f"the Ray node that ran it died, {ATTEMPTS} times; the last was {slot.planned.node.host}"
        return [self._failed(slot, step, message)]

    def _failed(self, slot: _Slot, step: Step, message: str) -> Finished:
        seconds = round(time.monotonic() - slot.started, 3)
        record = failure_record(record_fields(step), "failed", visible(message), seconds)
        standing = commit_failure(self._store, record)
        return Finished(step.key, "failed", seconds, standing.failure.message if standing.failure else message)


def _joined(address: str) -> bool:
    """Join the cluster; return whether this did it, or whoever calls had done so before."""
    if ray.is_initialized():
        return False
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="balancebench")
    except (ConnectionError, RayError, RuntimeError, ValueError, OSError) as error:
        raise BalancebenchError(
            f"there is no Ray cluster at {visible(address)} ({_last_line(error)}); start one with `ray start --head`, "
            "or name it with --ray-address HOST:PORT"
        ) from None
    return True


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _last_line(error: BaseException) -> str:
    return visible((str(error).strip().splitlines() or [type(error).__name__])[-1])
