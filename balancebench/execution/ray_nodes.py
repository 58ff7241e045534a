"""The nodes of a Ray cluster: what each offers, what is installed there, and whether it sees the head's store.

A node whose packages are of other versions than the head's would give other numbers under the same key: it is refused,
with both versions named.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from balancebench.execution.provenance import versions
from balancebench.registry import load_registry

__all__ = ["Node", "NodeReport", "alive_nodes", "installed_here", "on_node", "refusal", "reports_of"]

REPORT_SECONDS = 120.0  # for a node to start a process and import the plugins


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A living node: its number in the cluster, its host's name, and how much it has of each resource.

    resources: "CPU", "GPU", "memory" in bytes, and whatever the node was started with by `--resources`.
    """

    number: str
    host: str
    resources: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What a node says of itself: version by distribution ("python" among them), and whether it sees the store."""

    installed: Mapping[str, str]
    sees_store: bool


def alive_nodes() -> list[Node]:
    """Return the nodes of the cluster that live and have processors to give, in the order of their numbers."""
    entries: list[dict[str, Any]] = ray.nodes()
    nodes = [
        Node(number=entry["NodeID"], host=entry["NodeManagerHostname"], resources=dict(entry["Resources"]))
        for entry in entries
        if entry["Alive"] and entry["Resources"].get("CPU", 0) >= 1  # heads of clusters often have none
    ]
    return sorted(nodes, key=lambda node: node.number)


def on_node(number: str) -> NodeAffinitySchedulingStrategy:
    """Return what places a task on this node or nowhere."""
    return NodeAffinitySchedulingStrategy(number, soft=False)


def installed_here() -> dict[str, str]:
    """Return the versions of what results depend on: Python, balancebench, its plugins, and the libraries they use."""
    return {"python": platform.python_version(), **versions(), **load_registry().versions}


def refusal(node: Node, installed: Mapping[str, str]) -> str | None:
    """Return why a node with these versions gets no step, or None where all are the head's."""
    here = installed_here()
    differing = [name for name in sorted({*here, *installed}) if here.get(name) != installed.get(name)]
    if not differing:
        return None
    named = "; ".join(
        f"{name} {installed.get(name, 'none')} there, {here.get(name, 'none')} here" for name in differing
    )
    return f"node {node.host} is refused: {named}; install the same versions on both"


def reports_of(nodes: Sequence[Node], marker: Path, content: str) -> list[NodeReport | str]:
    """Ask nodes, all at once, what is installed there and whether `marker` holds `content` there.

    Returns an answer for each, in their order: what it says of itself, or why it cannot.
    """
    ask = ray.remote(_report)
    answers = [
        ask.options(num_cpus=0, max_retries=0, scheduling_strategy=on_node(node.number)).remote(
            os.fspath(marker), content
        )
        for node in nodes
    ]
    told, _ = ray.wait(answers, num_returns=len(answers), timeout=REPORT_SECONDS) if answers else ([], [])
    return [
        _answered(node, answer)
        if answer in told
        else f"node {node.host} is refused: it did not answer in {REPORT_SECONDS:.0f} s"
        for node, answer in zip(nodes, answers, strict=True)
    ]


def _answered(node: Node, answer: Any) -> NodeReport | str:
    try:
        return ray.get(answer)
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]
        return f"node {node.host} is refused: {reason}; is balancebench[ray] installed there?"


def _report(marker: str, content: str) -> NodeReport:
    try:
        sees_store = Path(marker).read_text(encoding="ascii") == content
    except (OSError, UnicodeDecodeError):
        sees_store = False
    return NodeReport(installed=installed_here(), sees_store=sees_store)
