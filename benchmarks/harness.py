"""What the harness costs: planning, finished runs and leaderboards of 100 to 100,000 cells, warm workers, start-up."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.finished_store import suite_text
from benchmarks.report import Report, Table, arguments, describe_machine, figure, finish, rates_table
from benchmarks.timing import Contestant, median, quartiles, take_turns

ROOT = Path(__file__).resolve().parents[1]
TOY_PLUGIN = Path(__file__).parent / "toy_plugin"
CLI = (sys.executable, "-m", "balancebench")
MIB = 2**20
SETTLED_SECONDS = 3  # what is newer the store's index does not note
PICTURED_CELLS = 1000  # pictures take seconds a task, whatever the harness does
# Pydantic loads itself only once a name of it is used; every program that imports it uses one.
START = "import typer, rich.console; from pydantic import BaseModel"
UNUSED_START = "import typer, rich, pydantic"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one process took."""

    seconds: float
    peak_bytes: int
    output: str


def environment() -> dict[str, str]:
    """Return this process's environment with the toy plugin in sight and bytecode written, as installers write it."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONPATH": os.pathsep.join([str(TOY_PLUGIN), str(ROOT)]), "COLUMNS": "120"}


def measure(command: Sequence[str], folder: Path) -> Measured:
    """Run a command in a folder; return its seconds, its peak memory (the largest of its processes) and its output.

    The peak counts this process's own memory where that is more: Linux hands it on, so nothing heavy is imported here.
    """
    with tempfile.TemporaryFile() as output:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{text[-2000:]}")
    return Measured(seconds, _peak_bytes(usage), text)


def _peak_bytes(usage: resource.struct_rusage) -> int:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def growth(cells: Sequence[int], rounds: int, folder: Path) -> tuple[Table, dict[str, Any]]:
    """Measure the commands on finished stores of each size, as whole processes."""
    commands = {
        "`validate`: planning": ("validate", "suite.toml"),
        "`run`, all done": ("run", "suite.toml", "--store", "store", "--no-pictures"),
        "`leaderboard`": ("leaderboard", "suite.toml", "--store", "store", "--no-pictures"),
    }
    pictured = ("leaderboard", "suite.toml", "--store", "store")
    aims = {"`validate`: planning": "5 s", "`run`, all done": "10 s, 1 GB", "`leaderboard`": "10 s, 1 GB"}
    measurements: dict[str, dict[int, list[Measured]]] = {}
    for count in cells:
        run_folder = folder / str(count)
        run_folder.mkdir()
        (run_folder / "suite.toml").write_text(suite_text(count), encoding="utf-8")
        say(f"{count} cells: making a finished store")
        measure((sys.executable, "-m", "benchmarks.finished_store", "suite.toml", "store"), run_folder)
        time.sleep(SETTLED_SECONDS)
        first = measure((*CLI, *commands["`run`, all done"]), run_folder)
        measurements.setdefault("`run`, all done, the first to compare its files", {})[count] = [first]
        for number in range(rounds):
            for name, command in commands.items():
                measured = measure((*CLI, *command), run_folder)
                if name == "`run`, all done" and " 0 steps ran " not in " ".join(f" {measured.output}".split()):
                    raise RuntimeError(f"the finished store is not finished:\n{measured.output[-1000:]}")
                measurements.setdefault(name, {}).setdefault(count, []).append(measured)
                say(f"{count} cells, round {number + 1}/{rounds}: {name}: {measured.seconds:.2f} s")
        if count <= PICTURED_CELLS:
            for name in ("`leaderboard`, drawing its pictures", "`leaderboard`, pictures already drawn"):
                measured = measure((*CLI, *pictured), run_folder)
                measurements.setdefault(name, {})[count] = [measured]
                say(f"{count} cells: {name}: {measured.seconds:.2f} s")
    rows = [
        (name, *(_cell(of[count]) if count in of else "-" for count in cells), aims.get(name, "-"))
        for name, of in measurements.items()
    ]
    figures = {
        name: {
            count: {"seconds": [m.seconds for m in of[count]], "peak_bytes": [m.peak_bytes for m in of[count]]}
            for count in of
        }
        for name, of in measurements.items()
    }
    header = ("whole process: seconds, peak MiB", *(f"{count:,} cells" for count in cells), "aim")
    note = "Medians; each figure includes the start of Python and the import of the harness."
    return Table("Growth with the number of cells", header, tuple(rows), note), {"growth": figures}


def _cell(measured: Sequence[Measured]) -> str:
    seconds = median([one.seconds for one in measured])
    return f"{figure(seconds)} s, {max(one.peak_bytes for one in measured) / MIB:,.0f}"


def warm_worker(rounds: int, folder: Path, cells: int) -> tuple[Table, dict[str, Any]]:
    """Measure what a step of one warm worker costs beyond its own work."""
    suite = folder / "steps.toml"
    suite.write_text(suite_text(cells), encoding="utf-8")
    walls_ms: list[float] = []
    overheads_ms: list[float] = []
    steps = 0
    for number in range(rounds):
        store = folder / f"steps-{number}"
        command = (sys.executable, "-m", "benchmarks.warm_worker", str(suite), str(store))
        timed = json.loads(measure(command, folder).output.splitlines()[-1])
        shutil.rmtree(store)
        steps = timed["steps"]
        walls_ms.append(1000 * timed["seconds"] / steps)
        overheads_ms.append(1000 * (timed["seconds"] - timed["own_seconds"]) / steps)
        say(f"warm worker, round {number + 1}/{rounds}: {overheads_ms[-1]:.1f} ms a step")
    lower, upper = quartiles(overheads_ms)
    row = (
        f"one worker, {steps} steps",
        figure(median(walls_ms)),
        figure(median(overheads_ms)),
        f"{figure(lower)} to {figure(upper)}",
        "20 ms",
    )
    header = ("", "ms a step", "of it not the step's own", "quartiles", "aim")
    note = "A step's own time is its record's duration_seconds: the toy plugin's trivial work."
    figures = {"warm_worker": {"steps": steps, "wall_ms": walls_ms, "overhead_ms": overheads_ms}}
    return Table("A warm worker", header, (row,), note), figures


def start_up(rounds: int, folder: Path) -> tuple[Table, dict[str, Any]]:
    """Compare the start of light commands with the import of typer, rich and pydantic, as whole processes."""
    commands = {
        f"`{START}`": (sys.executable, "-c", START),
        f"`{UNUSED_START}`, none of it used": (sys.executable, "-c", UNUSED_START),
        "`balancebench --help`": (*CLI, "--help"),
        "`balancebench list`": (*CLI, "list"),
    }

    def started(command: tuple[str, ...]) -> Contestant:
        name = next(name for name, listed in commands.items() if listed is command)
        return Contestant(name, lambda: measure(command, folder).seconds, 1)

    timed = take_turns([started(command) for command in commands.values()], rounds=rounds)
    _, figures = rates_table("start", "starts/s", timed, [timed[0].name])
    imports = timed[0].seconds
    rows: list[tuple[str, ...]] = []
    for row in timed:
        compared = [seconds / base for seconds, base in zip(row.seconds, imports, strict=True)]
        lower, upper = quartiles(row.seconds)
        aim = "2" if "balancebench" in row.name else "-"
        rows.append(
            (row.name, f"{median(row.seconds):.3f}", f"{lower:.3f} to {upper:.3f}", figure(median(compared)), aim)
        )
    header = ("whole process", "seconds", "quartiles", "times the first", "aim")
    return Table("Start", header, tuple(rows)), figures


def say(text: str) -> None:
    """Say on standard error how far it is."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure growth, warm workers and start-up."""
    parser = arguments(__doc__ or "", rounds=3, devices=("cpu",))
    parser.add_argument(
        "--cells", type=int, nargs="+", choices=(100, 1000, 10_000, 100_000), default=[100, 1000, 10_000]
    )
    asked = parser.parse_args()
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="balancebench-harness-") as folder_name:
        folder = Path(folder_name)
        tables_and_figures = [
            start_up(2 * asked.rounds + 1, folder),
            warm_worker(asked.rounds, folder, min(1000, max(asked.cells))),
            growth(asked.cells, asked.rounds, folder),
        ]
    tables = tuple(table for table, _ in tables_and_figures)
    figures = {name: value for _, table_figures in tables_and_figures for name, value in table_figures.items()}
    finish(Report("harness", machine, {"rounds": asked.rounds}, tables, figures), as_json=asked.json)


if __name__ == "__main__":
    main()
