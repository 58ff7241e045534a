"""What `train_generator` and `synthesise` keep of a plugin's own: weights, samples, and the curves of a training.

artefacts/                all that the balancer wrote
artefacts/NAME.json       curves, where it holds {"curves": [{"epoch": 0, "generator_loss": 0.7}]}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from balancebench.store import Store

__all__ = ["BalancerFiles", "CurveRows", "read_curves"]

FOLDER = "artefacts"
CurveRows = list[dict[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerFiles:
    """What a balancer left of its own. curves: file stem -> the values of each epoch."""

    folder: Path
    curves: dict[str, CurveRows]

    @classmethod
    def make(cls, results: Path) -> Path:
        """Make the folder that a balancer writes to, among a step's results, and return it."""
        folder = results / FOLDER
        folder.mkdir()
        return folder

    @classmethod
    def has_curves(cls, store: Store, key: str) -> bool:
        """Say whether a finished step may have left curves; cheap."""
        return bool(store.files(key).names(f"{FOLDER}/", ".json"))

    @classmethod
    def read(cls, store: Store, key: str) -> BalancerFiles:
        """Return the folder and the curves of a finished step; every file is what its record says."""
        files = store.files(key)
        for name in files.names(f"{FOLDER}/"):
            if not name.endswith(".json"):
                files.mapped(name)
        return cls(folder=files.folder / FOLDER, curves=read_curves(store, key))


def read_curves(store: Store, key: str) -> dict[str, CurveRows]:
    """Return the curves of a finished step by file stem; its other files are not looked at."""
    files = store.files(key)
    curves: dict[str, CurveRows] = {}
    for name in files.names(f"{FOLDER}/", ".json"):
        document: Any = files.json(name)
        if isinstance(document, dict) and cast("dict[str, Any]", document).get("curves"):
            stem = name.removeprefix(f"{FOLDER}/").removesuffix(".json")
            curves[stem] = cast("dict[str, CurveRows]", document)["curves"]
    return curves
