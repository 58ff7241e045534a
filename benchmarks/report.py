"""What every benchmark prints: the machine, tables as Markdown, and with --json all figures for a program."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.timing import Timed, median, quartiles, ratios

__all__ = ["Report", "Table", "arguments", "describe_machine", "figure", "finish", "rates_table"]

VERSIONS = ("torch", "torchvision", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is shown; `note` stands under it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """Return the table as Markdown, numbers to the right."""
        lines = [
            f"**{self.title}**",
            "",
            "| " + " | ".join(self.header) + " |",
            "| --- |" + " ---: |" * (len(self.header) - 1),
            *("| " + " | ".join(row) + " |" for row in self.rows),
        ]
        return "\n".join([*lines, "", self.note] if self.note else lines)


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one benchmark. `figures` holds every number measured, for programs."""

    benchmark: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    tables: tuple[Table, ...]
    figures: dict[str, Any] = field(default_factory=dict[str, Any])

    def markdown(self) -> str:
        """Return the machine, the settings and the tables."""
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        said = [f"{described(self.machine)}; {settings}" if settings else described(self.machine)]
        return "\n\n".join([*said, *(table.markdown() for table in self.tables)])


def arguments(description: str, *, rounds: int, devices: Sequence[str] = ("cpu", "cuda")) -> argparse.ArgumentParser:
    """Return a parser that knows what all benchmarks take: --rounds, --json, and --device where there is a choice."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help="counted rounds; medians are over these")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON instead of tables")
    if len(devices) > 1:
        parser.add_argument("--device", choices=devices, default=devices[0], help="where networks run")
    return parser


def finish(report: Report, *, as_json: bool) -> None:
    """Print the report."""
    print(json.dumps(asdict(report), indent=1) if as_json else report.markdown())


def rates_table(
    title: str, unit: str, timed: Sequence[Timed], baselines: Sequence[str]
) -> tuple[Table, dict[str, Any]]:
    """Return a table of medians, quartiles and ratios to each of `baselines` (names of `timed`), and its figures.

    A ratio is the median of the rounds' ratios, with their quartiles.
    """
    bases = [next(row for row in timed if row.name == name) for name in baselines]
    rows: list[tuple[str, ...]] = []
    figures: dict[str, Any] = {}
    for row in timed:
        compared = {base.name: ratios(row, base) for base in bases}
        shown = ["1" if row.name == name else f"{median(of):.2f} ({_between(of)})" for name, of in compared.items()]
        rows.append((row.name, figure(median(row.rates)), _between(row.rates), *shown))
        figures[row.name] = {
            "unit": unit,
            "rates": list(row.rates),
            "ratio_to": {k: list(v) for k, v in compared.items()},
        }
    header = ("", unit, "quartiles", *(f"ratio to {name} (quartiles)" for name in baselines))
    return Table(title, header, tuple(rows)), {title: figures}


def figure(value: float) -> str:
    """Return a number with three digits that count, or all before the point: 3.07, 52.4, 1,820."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _between(values: Sequence[float]) -> str:
    lower, upper = quartiles(values)
    return f"{figure(lower)} to {figure(upper)}"


def describe_machine(device: str = "cpu") -> dict[str, Any]:
    """Return processor, cores, memory, load, versions and, for CUDA, the GPU; no names of hosts, users or folders.

    `kind` is what machines with comparable figures share, fit for a file's name.
    """
    machine: dict[str, Any] = {
        "kind": f"cpu-{_cores()}-cores",
        "processor": _processor(),
        "cores": _cores(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {name: metadata.version(name) for name in VERSIONS},
    }
    if device.startswith("cuda"):
        import torch

        machine["gpu"] = torch.cuda.get_device_name(device)
        machine["kind"] = re.sub(r"[^a-z0-9]+", "-", machine["gpu"].lower()).strip("-")
    return machine


def described(machine: dict[str, Any]) -> str:
    """Return the machine in one line."""
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    return (
        f"{gpu}{machine['processor']}, {machine['cores']} cores, load {machine['load_average']} at the start, "
        f"torch {machine['versions']['torch']}, Python {machine['python']}"
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
