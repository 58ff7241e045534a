"""What a short step costs on a local Ray cluster beside what it costs in local worker processes.

    python benchmarks/ray_overhead.py --nodes 4 --steps 1000

Plans enough seeds of a tiny suite of the tests' fake plugin for so many steps, runs it with both executors with as many
workers as nodes, and prints JSON: wall time in ms for each step once a fifth of them is done and workers are warm, the
difference, and the seconds of the whole runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1000)
    asked = parser.parse_args()
    os.environ["PYTHONPATH"] = str(FAKE_PLUGINS)
    sys.path.insert(0, str(FAKE_PLUGINS))

    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "memory": 4 * 2**30}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "num_cpus": 0, "include_dashboard": False})
    for _ in range(asked.nodes):
        cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        measured = {name: _measured(name, asked.steps, asked.nodes) for name in ("processes", "ray")}
    finally:
        ray.shutdown()
        cluster.shutdown()
    overhead = round(measured["ray"]["ms_a_step"] - measured["processes"]["ms_a_step"], 2)
    print(json.dumps({"nodes": asked.nodes, "steps": asked.steps, **measured, "overhead_ms_a_step": overhead}))


class Ends:
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    @hookimpl
    def balancebench_step_finished(self) -> None:
        """A step ended."""
        self.times.append(time.perf_counter())


def _measured(executor: str, steps: int, jobs: int) -> dict[str, float]:
    from balancebench.execution.run_plan import run_plan
    from balancebench.plan import expand
    from balancebench.registry import load_registry
    from balancebench.store import Store
    from balancebench.suite.bind import bind_suite

    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite.toml"
        suite.write_text(SUITE.format(seeds=list(range(max(1, steps // STEPS_A_SEED)))), encoding="utf-8")
        plan = expand(bind_suite(suite, load_registry(), None))
        ends, start = Ends(), time.perf_counter()
        load_registry().hooks.register(ends)
        outcome = run_plan(plan, Store.open(Path(folder) / "store"), executor=executor, device="cpu", jobs=jobs)
        if outcome.failed:
            raise SystemExit(f"{executor}: {outcome.failed[0].message}")
        load_registry().hooks.unregister(ends)
        warm = ends.times[len(ends.times) // 5 :]
        ms_a_step = round(1000 * (warm[-1] - warm[0]) / (len(warm) - 1), 2)
        return {"ms_a_step": ms_a_step, "seconds": round(time.perf_counter() - start, 1)}


if __name__ == "__main__":
    main()
