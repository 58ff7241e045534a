"""What `plan --cost` prints: hours of work by stage and device, by what like steps took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from balancebench.config import JSON

if TYPE_CHECKING:
    from rich.console import Console

    from balancebench.execution.forecast import Forecast, Measurement
    from balancebench.plan import Plan
    from balancebench.stage import Stage
    from balancebench.step import Step

__all__ = ["DeviceCost", "cost_json", "costs_by_device", "measured_in_records", "print_cost"]

SECONDS_AN_HOUR = 3600
SHOWN_HOURS = 0.01  # the least that is told from nothing
MAKES_IMAGES = frozenset(("train_generator", "synthesise"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCost:
    """What steps will take on one device. hardware: where like ones were measured; nothing where none was."""

    device: str
    hardware: tuple[str, ...]
    stages: Mapping[Stage, Forecast]


def measured_in_records(folder: Path, planned: Plan) -> list[Measurement]:
    """Return what the trainings of committed records took.

    Those tell what a cell took in all: of a cell whose balancer makes images the training is not told apart, and left
    out, and so is every other stage. Raises LeaderboardError where DIR/NAME of the plan's suite holds no records.
    """
    from balancebench.execution.forecast import Measurement, likenesses, measured_on
    from balancebench.leaderboard.records import read_records

    name = planned.suite.name if planned.suite.profile is None else f"{planned.suite.name}.{planned.suite.profile}"
    measured: list[Measurement] = []
    for cell in read_records(folder / name / "records.json").cells:
        if cell.status != "done" or cell.cost is None or "train" not in cell.identities:
            continue
        if MAKES_IMAGES.isdisjoint(cell.steps):
            task = f"{cell.task.dataset} / {cell.task.imbalancer} / {cell.balancer} / {cell.task.classifier}"
            device, hardware = measured_on(cell.provenance)
            alike = likenesses("train", task, cell.task.dataset, cell.identities["train"])
            seconds = float(cell.cost.duration_seconds)
            measured.append(Measurement(alike=alike, device=device, hardware=hardware, seconds=seconds))
    return measured


def costs_by_device(to_run: Sequence[Step], measured: Iterable[Measurement]) -> list[DeviceCost]:
    """Return what steps will take on each device that like steps ran on; one of no name where none ran on any."""
    from balancebench.execution.forecast import forecast

    on_device: dict[str, list[Measurement]] = {}
    for measurement in measured:
        on_device.setdefault(measurement.device, []).append(measurement)
    return [
        DeviceCost(
            device=device,
            hardware=tuple(sorted({measurement.hardware for measurement in alike} - {""})),
            stages=forecast(to_run, alike),
        )
        for device, alike in sorted((on_device or {"": []}).items())
    ]


def cost_json(costs: Iterable[DeviceCost]) -> list[JSON]:
    """Return costs as JSON: by device the hardware, and by stage what `Forecast` says."""
    return [
        {
            "device": cost.device or None,
            "hardware": list(cost.hardware),
            "stages": {stage: asdict(of_stage) for stage, of_stage in cost.stages.items()},
        }
        for cost in costs
    ]


def print_cost(costs: Iterable[DeviceCost], out: Console) -> None:
    """Print a table for each device: hours by stage and in all, with the range of what like steps took."""
    from rich.table import Table

    for cost in costs:
        known = any(of_stage.unknown < of_stage.steps for of_stage in cost.stages.values())
        where = f"on {cost.device} ({', '.join(cost.hardware) or 'of no name'})" if known else "by like steps: none ran"
        out.print(f"Hours of work {where}; workers share it", markup=False, soft_wrap=True)
        table = Table("stage", box=None, header_style="dim")
        for heading in ("to run", "like none before", "hours", "least", "most"):
            table.add_column(heading, justify="right")
        for stage, of_stage in cost.stages.items():
            table.add_row(stage, *_row([of_stage]))
        table.add_row("all", *_row(list(cost.stages.values())))
        out.print(table)


def _row(forecasts: Sequence[Forecast]) -> tuple[str, ...]:
    steps, unknown = (sum(getattr(entry, name) for entry in forecasts) for name in ("steps", "unknown"))
    counts = str(steps), str(unknown) if unknown else ""
    if unknown == steps:
        return (*counts, "unknown", "", "")
    hours = [
        sum(getattr(entry, name) for entry in forecasts) / SECONDS_AN_HOUR
        for name in ("seconds", "least_seconds", "most_seconds")
    ]
    return (*counts, *(_hours_text(value) + ("+" if unknown else "") for value in hours))


def _hours_text(hours: float) -> str:
    return f"{hours:.2f}" if hours >= SHOWN_HOURS else f"<{SHOWN_HOURS:g}"
