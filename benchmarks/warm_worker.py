"""What worker processes add to each step of a warm worker.

    python -m benchmarks.warm_worker SUITE STORE    (with benchmarks/toy_plugin on PYTHONPATH)

Runs a suite of trivial steps and prints JSON: the steps, the seconds between the ends of steps, and the seconds that
the steps themselves took by their own records, once the worker has started.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

__all__ = ["Ends", "time_steps"]

STARTING_STEPS = 20  # the first steps import what the rest find imported


class Ends:
    """A plugin that listens: when each step ended."""

    def __init__(self) -> None:
        from balancebench import hookimpl

        self.seconds: list[float] = []
        self.keys: list[str] = []
        # The hook's marker needs the module of the package, which is imported only now.
        type(self).balancebench_step_finished = hookimpl(type(self).balancebench_step_finished)

    def balancebench_step_finished(self, key: str) -> None:
        """Note the time."""
        self.seconds.append(time.perf_counter())
        self.keys.append(key)


def time_steps(suite: Path, store_root: Path) -> dict[str, Any]:
    """Run the suite in a new store; return counts and seconds."""
    from balancebench.execution.run_plan import run_plan
    from balancebench.plan import expand
    from balancebench.registry import load_registry
    from balancebench.store import Store
    from balancebench.suite.bind import bind_suite

    registry = load_registry()
    plan = expand(bind_suite(suite, registry))
    store = Store.open(store_root)
    ends = Ends()
    registry.hooks.register(ends)
    run_plan(plan, store, registry=registry, device="cpu", jobs=1)
    warm = STARTING_STEPS
    own = sum(record.duration_seconds for key in ends.keys[warm:] if (record := store.read_done(key)) is not None)
    return {"steps": len(ends.keys) - warm, "seconds": ends.seconds[-1] - ends.seconds[warm - 1], "own_seconds": own}


if __name__ == "__main__":
    print(json.dumps(time_steps(Path(sys.argv[1]), Path(sys.argv[2]))))
