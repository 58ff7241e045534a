"""What is saved of a training: the classifier's own state, and beside it what the harness knew at that moment.

    STATE/classifier/     what the classifier saved
    STATE/harness/        curves, tracks of epochs, counts, notes, seconds, and what the state was made with

One saved without the other would end in a record that belongs to no training.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from balancebench.checkpoints import Checkpoints
from balancebench.config import JSON
from balancebench.stages.epoch_track import EpochTrack
from balancebench.stages.memory import peak_memory_bytes
from balancebench.stages.workplace import Built, Workplace

__all__ = ["TrainingCheckpoints"]

CLASSIFIER, HARNESS = "classifier", "harness"
DECISIVE = ("python", "platform", "processor", "versions", "plugins")  # of a record's provenance


@dataclass(kw_only=True)
class TrainingCheckpoints(Checkpoints):
    """The checkpoints of the step `train`. Reading the latest takes the harness back to the moment it was saved.

    A state is gone on from only where it was made with the same code, versions and kind of machine: elsewhere the rest
    of the training would be another one than its record says.
    """

    workplace: Workplace
    components: tuple[Built, ...]
    curves: list[dict[str, float]]
    tracks: list[EpochTrack]

    @cached_property
    def _made_with(self) -> dict[str, JSON]:
        """What decides, beside the step's key, which bits a training ends in."""
        provenance, device = self.workplace.provenance, self.workplace.device
        packages = {"balancebench"}.union(*(built.packages for built in self.components))
        return {
            **{name: provenance[name] for name in DECISIVE if name in provenance},
            **_processing_unit(device),
            "compilation": self.workplace.compilation,
            "code": _code_digest(*sorted(packages)),
        }

    def save(self, write: Callable[[Path], None]) -> None:
        """Save both states."""

        def write_both(folder: Path) -> None:
            (folder / CLASSIFIER).mkdir()
            write(folder / CLASSIFIER)
            (folder / HARNESS).mkdir()
            self._write_own(folder / HARNESS)

        super().save(write_both)

    def latest(self) -> Path | None:
        """Return the folder of the classifier's state, or None where there is none that can be gone on from."""
        made_with = self._made_with  # also where there is nothing: the code is what it is now
        folder = super().latest()
        if folder is None:
            return None
        known = json.loads((folder / HARNESS / "harness.json").read_bytes())
        different = [name for name, value in made_with.items() if known["made_with"].get(name) != value]
        if different:
            self._ignore(folder, f"what it was made with has changed since ({', '.join(different)})")
            return None
        self.workplace.images_seen = known["images_seen"]
        self.workplace.optimiser_steps = known["optimiser_steps"]
        self.workplace.earlier_seconds = known["seconds"]
        self.workplace.earlier_peak_bytes = known["peak_memory_bytes"]
        self.workplace.notes = {**known["notes"], **self.workplace.notes}
        self.curves[:] = known["curves"]
        for track in self.tracks:
            track.read(folder / HARNESS)
        return folder / CLASSIFIER

    def _write_own(self, folder: Path) -> None:
        known = {
            "made_with": self._made_with,
            "images_seen": self.workplace.images_seen,
            "optimiser_steps": self.workplace.optimiser_steps,
            "seconds": self.workplace.seconds,
            "peak_memory_bytes": max(self.workplace.earlier_peak_bytes, peak_memory_bytes(self.workplace.device)),
            "notes": self.workplace.notes,
            "curves": self.curves,
        }
        (folder / "harness.json").write_text(json.dumps(known), encoding="utf-8")
        for track in self.tracks:
            track.write(folder)


def _processing_unit(device: str) -> dict[str, JSON]:
    """Return what of a device its results depend on: which GPU it is. (A step's threads are in its key.)"""
    kind = device.partition(":")[0]
    if kind != "cuda":
        return {"device": kind}
    import torch

    return {"device": kind, "device_name": torch.cuda.get_device_name(device)}


@cache
def _code_digest(*packages: str) -> str:
    """Return the SHA-256 of the packages' source files, as they are when a process first asks: what it has imported.

    Versions do not tell code from code while a method is being written.
    """
    digest = hashlib.sha256()
    for package in packages:
        module = sys.modules[package]
        files = [path for folder in getattr(module, "__path__", ()) for path in Path(folder).rglob("*.py")]
        if not files and module.__file__ is not None:
            files = [Path(module.__file__)]
        for path in sorted(files):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
