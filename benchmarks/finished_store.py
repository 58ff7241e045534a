"""Suites of any size over the toy plugin, and stores in which all their steps are done.

    python -m benchmarks.finished_store SUITE STORE    (with benchmarks/toy_plugin on PYTHONPATH)

Of the steps that differ only in seeds and numbers one is run, and the others get its record and files under their own
keys: a store like a real one in a minute.
"""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["CELLS_A_TASK", "fill", "suite_text"]

CELLS_A_TASK = 100  # ten seeds of the floor, four balancers that make images, four that make none, and the ceiling

SUITE = """\
schema = 1
name = "toy"
metrics = ["balanced_accuracy", {{ use = "f1", average = "macro" }}, "class_accuracy", "loss"]

[run]
seeds = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
report = ["last", "best_test"]

[[dataset]]
use = "speckles"
sweep = {{ number = {datasets} }}

[[imbalancer]]
use = "long_tail"
sweep = {{ imbalance_ratio = {ratios} }}

[[balancer]]
use = "none"
[[balancer]]
use = "repeating"
sweep = {{ number = [0, 1, 2, 3] }}
[[balancer]]
use = "idling"
sweep = {{ number = [0, 1, 2, 3] }}

[[classifier]]
use = "guessing"
sweep = {{ number = {classifiers} }}
"""


def suite_text(cells: int) -> str:
    """Return a suite of 100 to 100,000 cells: 1, 10, 100 or 1,000 tasks of 10 balancers under 10 seeds."""
    tasks = cells // CELLS_A_TASK
    datasets, ratios, classifiers = {1: (1, 1, 1), 10: (2, 5, 1), 100: (2, 5, 10), 1000: (10, 10, 10)}[tasks]
    return SUITE.format(
        datasets=list(range(datasets)),
        ratios=[2 + 2 * number for number in range(ratios)],
        classifiers=list(range(classifiers)),
    )


def fill(suite: Path, store_root: Path) -> int:
    """Make a store in which every step of the suite is done; return the number of steps."""
    from balancebench.execution.provenance import describe_environment
    from balancebench.plan import expand
    from balancebench.registry import load_registry
    from balancebench.stages.judge import Judge
    from balancebench.stages.run_step import run_step
    from balancebench.step import ScoreInputs, Step, record_fields
    from balancebench.store import Store
    from balancebench.suite.bind import bind_suite

    registry = load_registry()
    plan = expand(bind_suite(suite, registry))
    store = Store.open(store_root)
    provenance = {**describe_environment(registry), "device": "cpu", "threads": 1}

    def run(step: Step) -> None:
        ended = run_step(
            step,
            store=store,
            registry=registry,
            device="cpu",
            data_root=store_root,
            provenance=provenance,
            progress=lambda _done, _total, _message="": None,
            judge=Judge(store),
        ).record
        if ended.status != "done":
            raise RuntimeError(f"{step.label}: {ended.failure}")

    examples: dict[tuple[str, ...], tuple[str, dict[str, bytes]]] = {}
    for step in plan.steps.values():
        described = plan.steps[step.inputs.training] if isinstance(step.inputs, ScoreInputs) else step
        kind = (step.stage, *(reference.component for reference in described.components.values()))
        if step.stage in ("load", "imbalance") or kind not in examples:
            run(step)
            folder = store.folder(step.key)
            record = store.read_done(step.key)
            assert record is not None
            examples[kind] = step.key, {name: (folder / name).read_bytes() for name in record.files}
            continue
        example, files = examples[kind]
        record = store.read_done(example)
        assert record is not None
        folder = store.temporary_folder()
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        store.commit(record.model_copy(update=record_fields(step)), folder)
    return len(plan.steps)


if __name__ == "__main__":
    print(fill(Path(sys.argv[1]), Path(sys.argv[2])))
