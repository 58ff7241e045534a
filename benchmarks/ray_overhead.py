"""What a short step costs on a local Ray cluster beside what it costs in local worker processes.

    python benchmarks/ray_overhead.py --nodes 4 --steps 1000 --rounds 3

Plans enough seeds of a tiny suite of the tests' fake plugin for so many steps, and runs it with both executors in turn
with as many workers as nodes. Prints JSON:

start_up_seconds: from the call to the end of the first step. turnaround_ms: from the moment that the head starts a step
to the one at which it knows its end, by the median of the second half of the steps, when workers are warm.
ms_a_step: between the ends of such steps. overhead_turnaround_ms: what a step took longer with Ray than the same step
without, by the median of all, with quartiles. overhead_ms_a_step: the same of ms_a_step, by the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from balancebench import hookimpl

FAKE_PLUGINS = Path(__file__).parents[1] / "tests" / "fake_plugins"
STEPS_A_SEED = 5  # subset, training and score of the floor; training and score of the ceiling
SUITE = """
schema = 1
name = "overhead"
metrics = ["hits"]

[run]
seeds = {seeds}

[[dataset]]
use = "tiny"

[[imbalancer]]
use = "halving"

[[balancer]]
use = "none"

[[classifier]]
use = "means"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One run. turnarounds: of each warm step by its key, in ms."""

    start_up_seconds: float
    ms_a_step: float
    turnarounds: dict[str, float]


class Watch:
    """Notes when each step starts and ends, as the head sees it."""

    def __init__(self) -> None:
        self.starts: dict[str, float] = {}
        self.ends: dict[str, float] = {}

    @hookimpl
    def balancebench_step_started(self, key: str) -> None:
        """A step is handed to a worker."""
        self.starts[key] = time.perf_counter()

    @hookimpl
    def balancebench_step_finished(self, key: str) -> None:
        """A step ended."""
        self.ends[key] = time.perf_counter()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    os.environ["PYTHONPATH"] = str(FAKE_PLUGINS)
    sys.path.insert(0, str(FAKE_PLUGINS))

    from balancebench.execution.ray_executor import ray  # before the next line: it says how Ray starts
    from ray.cluster_utils import Cluster  # isort: skip

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "memory": 4 * 2**30}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0, "include_dashboard": False})
    for _ in range(asked.nodes):
        cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    rounds: list[dict[str, Timed]] = []
    try:
        for number in range(asked.rounds):  # every other one in reverse order
            names = ("processes", "ray")[:: -1 if number % 2 else 1]
            rounds.append({name: _timed(name, asked.steps, asked.nodes) for name in names})
    finally:
        ray.shutdown()
        cluster.shutdown()
    longer = [
        turnaround - timed["processes"].turnarounds[key]
        for timed in rounds
        for key, turnaround in timed["ray"].turnarounds.items()
        if key in timed["processes"].turnarounds
    ]
    shown = {name: _summary([timed[name] for timed in rounds]) for name in ("processes", "ray")}
    lower, middle, upper = statistics.quantiles(longer, n=4)
    overhead = {
        "overhead_turnaround_ms": [round(value, 2) for value in (middle, lower, upper)],
        "overhead_ms_a_step": round(
            statistics.median(timed["ray"].ms_a_step - timed["processes"].ms_a_step for timed in rounds), 2
        ),
    }
    print(json.dumps({**vars(asked), "load": os.getloadavg()[0], **shown, **overhead}))


def _summary(timed: list[Timed]) -> dict[str, float]:
    turnarounds = [milliseconds for run in timed for milliseconds in run.turnarounds.values()]
    return {
        "start_up_seconds": round(statistics.median(run.start_up_seconds for run in timed), 1),
        "ms_a_step": round(statistics.median(run.ms_a_step for run in timed), 2),
        "turnaround_ms": round(statistics.median(turnarounds), 2),
    }


def _timed(executor: str, steps: int, jobs: int) -> Timed:
    from balancebench.execution.run_plan import run_plan
    from balancebench.plan import expand
    from balancebench.registry import load_registry
    from balancebench.store import Store
    from balancebench.suite.bind import bind_suite

    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite.toml"
        suite.write_text(SUITE.format(seeds=list(range(max(1, steps // STEPS_A_SEED)))), encoding="utf-8")
        plan = expand(bind_suite(suite, load_registry(), None))
        watch = Watch()
        load_registry().hooks.register(watch)
        start = time.perf_counter()
        outcome = run_plan(plan, Store.open(Path(folder) / "store"), executor=executor, device="cpu", jobs=jobs)
        load_registry().hooks.unregister(watch)
        if outcome.failed:
            raise SystemExit(f"{executor}: {outcome.failed[0].message}")
    ends = list(watch.ends.values())
    first_warm = len(ends) // 2
    return Timed(
        start_up_seconds=ends[0] - start,
        ms_a_step=1000 * (ends[-1] - ends[first_warm]) / (len(ends) - 1 - first_warm),
        turnarounds={key: 1000 * (watch.ends[key] - watch.starts[key]) for key in list(watch.ends)[first_warm:]},
    )


if __name__ == "__main__":
    main()
