"""A training killed at random moments beside one that ran through, and what saving its state costs.

`resnet_cifar` trains a plan of two phases in a process that is killed with SIGKILL and started again until it is done.
Its logits must be those of a training that ran through, bit for bit: anything else ends the benchmark with an error.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from balancebench.checkpoints import Checkpoints
from benchmarks.report import Report, Table, arguments, describe_machine, figure, finish, rates_table
from benchmarks.timing import Contestant, median, take_turns

DEFAULT_SECONDS = 180.0  # of `balancebench run`
MIB = 2**20


@dataclass(kw_only=True)
class TimedCheckpoints(Checkpoints):
    """Knows how long each save took, and how large the last state is."""

    save_seconds: list[float] = field(default_factory=list[float])
    state_bytes: int = 0

    def save(self, write: Callable[[Path], None]) -> None:
        """Save, and look at the clock."""
        begin = time.perf_counter()
        super().save(write)
        self.save_seconds.append(time.perf_counter() - begin)
        self.state_bytes = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def main() -> None:
    """Kill and compare, then time."""
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--kills", type=int, default=10, help="times that the process is killed")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the training that is killed")
    parser.add_argument("--steps", type=int, default=8, help="steps of an epoch")
    parser.add_argument("--batch-size", type=int, default=32, help="images of a step")
    parser.add_argument("--depth", type=int, default=32, help="layers of the ResNet")
    parser.add_argument("--seconds", type=float, default=1.0, help="from one saved state to the next")
    parser.add_argument(
        "--longest", type=float, default=5.0, help="seconds that the process lives at most before a kill"
    )
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it CUDA's matrix products are not repeatable
    if asked.folder is not None:
        print(json.dumps(train(asked, Checkpoints(folder=asked.folder, seconds=asked.seconds))))
        return
    machine = describe_machine(asked.device)
    with TemporaryDirectory(prefix="balancebench-checkpoints-") as name:
        killed, killed_figures = kill_and_compare(asked, Path(name) / "killed")
        costs, costs_figures = measure_costs(asked, Path(name) / "costs")
    settings = {
        "depth": asked.depth,
        "batch size": asked.batch_size,
        "steps an epoch": asked.steps,
        "seconds between states": asked.seconds,
        "rounds": asked.rounds,
    }
    figures = {**killed_figures, **costs_figures}
    finish(Report("checkpoints", machine, settings, (killed, *costs), figures), as_json=asked.json)


def kill_and_compare(asked: argparse.Namespace, folder: Path) -> tuple[Table, dict[str, Any]]:
    """Train in a process that is killed at random moments, and in one that runs through."""
    whole = _train_in_process(asked, folder.with_name("whole"), None)
    assert whole is not None
    moments = random.Random(0)
    kills = 0
    continued = None
    while continued is None:
        alive_seconds = moments.uniform(0, asked.longest) if kills < asked.kills else None
        continued = _train_in_process(asked, folder, alive_seconds)
        kills += continued is None
    if kills < asked.kills:
        raise SystemExit(f"the training ended after {kills} of {asked.kills} kills: take more --epochs")
    if continued["logits"] != whole["logits"]:
        raise SystemExit(f"a training killed {kills} times ended in other logits than one that ran through")
    rows = [
        ("ran through", "0", "-", whole["logits"][:16], f"{whole['loss']:.6f}"),
        ("killed", str(kills), continued["continued"] or "-", continued["logits"][:16], f"{continued['loss']:.6f}"),
    ]
    header = ("training", "kills", "continued", "SHA-256 of its logits begins with", "last loss")
    note = f"{asked.epochs * asked.steps} steps; killed by SIGKILL 0 to {asked.longest:g} s after its training began."
    return Table("the same logits, bit for bit", header, tuple(rows), note), {
        "kills": kills,
        "whole": whole,
        "continued": continued,
    }


def _train_in_process(asked: argparse.Namespace, folder: Path, alive_seconds: float | None) -> dict[str, Any] | None:
    """Return what a training printed at its end, or None where it was killed before."""
    names = ("device", "epochs", "steps", "batch_size", "depth", "seconds")
    settings = [text for name in names for text in (f"--{name.replace('_', '-')}", str(getattr(asked, name)))]
    command = [sys.executable, "-m", "benchmarks.checkpoints", "--folder", str(folder), *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the training begins
        if alive_seconds is not None:
            try:
                process.wait(alive_seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                print(f"killed after {alive_seconds:.2f} s", file=sys.stderr, flush=True)
                return None
        printed = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"a training ended with {process.returncode}")
    return json.loads(printed)


def measure_costs(asked: argparse.Namespace, folder: Path) -> tuple[list[Table], dict[str, Any]]:
    """Time an epoch with and without checkpoints, in turn, and every save."""
    every = f"a state every {asked.seconds:g} s"
    taken = TimedCheckpoints(folder=folder, seconds=asked.seconds)

    def work(checkpoints: TimedCheckpoints | None) -> float:
        if checkpoints is not None and checkpoints.folder.exists():
            for state in checkpoints.folder.iterdir():  # each round trains from the beginning
                state.rename(folder.with_name(f"{folder.name}.{time.monotonic_ns()}"))
        return float(train(asked, checkpoints, epochs=3)["seconds"])

    units = 3 * asked.steps
    contestants = [Contestant("no state", lambda: work(None), units), Contestant(every, lambda: work(taken), units)]
    timed = take_turns(contestants, rounds=asked.rounds, device=asked.device)
    rates, figures = rates_table("steps of a training", "steps/s", timed, ["no state"])
    save_seconds = median(taken.save_seconds)
    row = (
        f"{1000 * save_seconds:.1f}",
        f"{1000 * max(taken.save_seconds):.1f}",
        str(len(taken.save_seconds)),
        figure(taken.state_bytes / MIB),
        f"{save_seconds / DEFAULT_SECONDS:.4%}",
    )
    header = ("ms a save, median", "longest", "saves", "MiB of a state", f"of the time at {DEFAULT_SECONDS:g} s")
    return [rates, Table("one save", header, (row,))], {
        **figures,
        "save_seconds": taken.save_seconds,
        "state_bytes": taken.state_bytes,
    }


def train(asked: argparse.Namespace, checkpoints: Checkpoints | None, epochs: int | None = None) -> dict[str, Any]:
    """Train through a plan of two phases; the first line printed says that it begins."""
    import numpy as np

    from balancebench.builtin.classifiers.options import ResNetCifarOptions
    from balancebench.builtin.classifiers.resnets import resnet_cifar
    from balancebench.contracts import FitContext
    from balancebench.training_plan import Phase, TrainingPlan
    from benchmarks.training import synthetic_images

    images = synthetic_images(asked.steps * asked.batch_size, (3, 32, 32))
    weights = np.linspace(0.1, 1.0, len(images))
    plan = TrainingPlan(
        phases=(
            Phase(images=images, share=0.6),
            Phase(images=images, share=0.4, sampling_weight_N=weights, reset_head=True),
        )
    )
    losses: list[float] = []
    notes: dict[str, Any] = {}
    context = FitContext(
        seed=0,
        device=asked.device,
        precision="fp32",
        deterministic=True,
        progress=lambda _done, _total, _message="": None,
        logger=logging.getLogger("benchmarks"),
        epoch_finished=lambda _epoch, _predictor, values: losses.append(values["loss"]),
        count=lambda _images, _steps: None,
        compilation="never",
        note=lambda name, value: notes.update({name: value}),
        checkpoints=checkpoints,
    )
    options = ResNetCifarOptions(depth=asked.depth, epochs=epochs or asked.epochs, batch_size=asked.batch_size)
    if asked.folder is not None:
        print("the training begins", flush=True)
    begin = time.perf_counter()
    predictor = resnet_cifar(options).fit(plan, context)
    seconds = time.perf_counter() - begin
    logits_NK = predictor.predict_logits(images.images_NCHW[:256])
    return {
        "seconds": seconds,
        "loss": losses[-1],
        "logits": hashlib.sha256(logits_NK.tobytes()).hexdigest(),
        "continued": notes.get("continued"),
    }


if __name__ == "__main__":
    main()
