"""Which slots the nodes of a cluster have room for, and which steps each of them may be asked to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from balancebench.errors import BalancebenchError
from balancebench.execution.devices import JOB_BYTES
from balancebench.execution.executor import Site
from balancebench.execution.ray_nodes import Node
from balancebench.stage import STAGES
from balancebench.step import Step

__all__ = ["SlotPlan", "planned_slots"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPlan:
    """Room for one step at a time on a node.

    device: "cuda" or "cpu". cpus, gpus: what it claims of the node. computes: whether it takes steps that use the GPU
    where there is one; slots of nodes without, in a cluster with, do not. named: requirements that some node of the
    cluster names among its resources.
    """

    node: Node
    device: str
    cpus: float
    gpus: float
    computes: bool
    named: frozenset[str]

    def has(self, requirement: str) -> bool:
        """Whether a step with this requirement can run here; what no node names, all have, as machines of their own."""
        if requirement == "cuda":
            return self.device == "cuda"
        return requirement not in self.named or self.node.resources.get(requirement, 0) > 0

    def suits(self, step: Step) -> bool:
        """Whether the step may be asked of this slot."""
        if STAGES[step.stage].uses_device and not self.computes:
            return False
        return all(self.has(requirement) for requirement in step.requires)


def planned_slots(nodes: Sequence[Node], site: Site) -> list[SlotPlan]:
    """Return the slots of a run, spread over the nodes: no more than `site.jobs`, nor than there are steps.

    Raises BalancebenchError where the device asked for is on no node.
    """
    if site.device not in ("auto", "cuda", "cpu"):
        raise BalancebenchError(f"--device {site.device} is not for Ray: auto, cuda or cpu is")
    has_gpus = site.device != "cpu" and any(node.resources.get("GPU", 0) >= 1 for node in nodes)
    if site.device == "cuda" and nodes and not has_gpus:
        raise BalancebenchError(
            "--device cuda: no node of the Ray cluster has a GPU; `ray status` shows what they have"
        )
    named = frozenset(name for node in nodes for name in node.resources)
    by_node = [_slots_of(node, site, has_gpus=has_gpus, named=named) for node in nodes]
    in_turn = [planned for planned in chain.from_iterable(zip_longest(*by_node)) if planned is not None]
    in_turn.sort(key=lambda planned: not planned.computes)  # stable: those that train come first
    return in_turn[: max(1, min(site.most, site.jobs or site.most))]


def _slots_of(node: Node, site: Site, *, has_gpus: bool, named: frozenset[str]) -> list[SlotPlan]:
    cpus = int(node.resources.get("CPU", 0)) // site.threads
    gpus = int(node.resources.get("GPU", 0)) if has_gpus else 0
    if gpus:
        share = 1 / site.jobs_per_gpu
        planned = SlotPlan(node=node, device="cuda", cpus=site.threads, gpus=share, computes=True, named=named)
        return [planned] * min(cpus, gpus * site.jobs_per_gpu)
    memory = int(node.resources.get("memory", 0)) // (site.limits.memory_bytes or JOB_BYTES)
    planned = SlotPlan(node=node, device="cpu", cpus=site.threads, gpus=0, computes=not has_gpus, named=named)
    return [planned] * max(min(cpus, 1), min(cpus, memory))
