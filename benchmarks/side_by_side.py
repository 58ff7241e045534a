"""Small cells side by side on one device: a run of `small_cnn` cells, the start of its workers included, by workers."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from balancebench.execution.run_plan import run_plan
from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.store import Store
from balancebench.suite.bind import bind_suite
from benchmarks.report import Report, arguments, describe_machine, finish, rates_table
from benchmarks.timing import Contestant, take_turns

SUITE = """
schema = 1
name = "side_by_side"
metrics = ["accuracy"]
run = {{ seeds = {seeds}, ceiling = false }}
dataset = [{{ use = "digits" }}]
imbalancer = [{{ use = "long_tail", imbalance_ratio = 20 }}]
balancer = [{{ use = "none" }}]
classifier = [{{ use = "small_cnn", epochs = {epochs} }}]
"""


def run_cells(suite: Path, device: str, jobs: int) -> None:
    """Run the suite in a new store with so many workers."""
    registry = load_registry()
    plan = expand(bind_suite(suite, registry))
    with TemporaryDirectory() as folder:
        outcome = run_plan(plan, Store.open(Path(folder) / "store"), registry=registry, device=device, jobs=jobs)
    if outcome.failed:
        raise RuntimeError(outcome.failed[0].message)


def main() -> None:
    """Time one worker, and several."""
    parser = arguments(__doc__ or "", rounds=3)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="numbers of workers")
    parser.add_argument("--cells", type=int, default=12, help="cells of the run")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of each cell, on 600 images of 8x8 pixels")
    asked = parser.parse_args()
    machine = describe_machine(asked.device)
    with TemporaryDirectory() as folder:
        suite = Path(folder) / "side_by_side.toml"
        suite.write_text(SUITE.format(seeds=list(range(asked.cells)), epochs=asked.epochs), encoding="utf-8")

        def contestant(jobs: int) -> Contestant:
            name = f"{jobs} worker{'s' if jobs > 1 else ''}"
            return Contestant(name, lambda: run_cells(suite, asked.device, jobs), asked.cells)

        contestants = [contestant(jobs) for jobs in asked.jobs]
        timed = take_turns(contestants, rounds=asked.rounds, warm_up=0)
    table, figures = rates_table("small cells on one device", "cells/s", timed, [contestants[0].name])
    settings = {"cells": asked.cells, "epochs": asked.epochs, "rounds": asked.rounds}
    finish(Report("side_by_side", machine, settings, (table,), figures), as_json=asked.json)


if __name__ == "__main__":
    main()
