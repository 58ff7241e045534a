"""What every tracker is told, and how steps, options and metrics are named in it. Imports nothing heavy."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from balancebench import JSON, Record

__all__ = ["FollowedStep", "Tracker", "figures", "flat_metrics", "options_of", "picture_png"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedStep:
    """A step that has a run of its own in a tracker. key: its SHA-256. label: of the cell, for a reader."""

    key: str
    stage: str
    label: str

    @property
    def name(self) -> str:
        """What the tracker's run is called."""
        return f"{self.stage} {self.label}"


class Tracker(Protocol):
    """One suite in one tracker. A step's run is begun by the first call that names it."""

    def epoch(self, step: FollowedStep, epoch: int, values: Mapping[str, float]) -> None:
        """Log the values of an epoch, counted from 0."""
        ...

    def scores(self, step: FollowedStep, values: Mapping[str, float]) -> None:
        """Log the metrics of a cell."""
        ...

    def end(self, step: FollowedStep, record: Record) -> None:
        """Log the options and costs of a step that ended, and close its run."""
        ...

    def picture(self, path: Path, kind: str, title: str) -> None:
        """Log a picture, an SVG or PNG file."""
        ...

    def close(self) -> None:
        """Close what is still open, and write everything out."""
        ...


def flat_metrics(report: str, values: Mapping[str, JSON]) -> dict[str, float]:
    """Return "REPORT/METRIC" -> value, "REPORT/METRIC/INDEX" for each class of one that has a value a class.

    Undefined values and matrices are left out.
    """
    flat: dict[str, float] = {}
    for label, value in values.items():
        if isinstance(value, int | float):
            flat[f"{report}/{label}"] = float(value)
        elif isinstance(value, list):
            for index, of_class in enumerate(value):
                if isinstance(of_class, int | float):
                    flat[f"{report}/{label}/{index}"] = float(of_class)
    return {name: value for name, value in flat.items() if math.isfinite(value)}


def options_of(record: Record) -> dict[str, str | int | float | bool]:
    """Return the components, options and seeds that a step was computed with, by dotted name."""
    identity = record.identity
    parts: dict[str, JSON] = {"profile": record.profile, "settings": identity.get("settings")}
    components = identity.get("components")
    if isinstance(components, dict):
        parts |= components
    return dict(_flat("", parts))


def _flat(prefix: str, value: JSON) -> Iterator[tuple[str, str | int | float | bool]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, inner)
    elif isinstance(value, list):
        yield prefix, json.dumps(value)
    elif value is not None:
        yield prefix, value


def figures(record: Record) -> dict[str, float]:
    """Return what a step took."""
    return {
        "cost/duration_seconds": record.duration_seconds,
        "cost/peak_memory_bytes": float(record.peak_memory_bytes),
        "cost/images_seen": float(record.images_seen),
        "cost/optimiser_steps": float(record.optimiser_steps),
    }


def picture_png(path: Path) -> bytes:
    """Return a picture's file as PNG."""
    if path.suffix != ".svg":
        return path.read_bytes()
    import vl_convert

    return vl_convert.svg_to_png(path.read_text(encoding="utf-8"), scale=2.0)
