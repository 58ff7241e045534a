"""Curves of a generator's training, kept with the step that trained it."""

from __future__ import annotations

import json
import math
from pathlib import Path

from balancebench.errors import BalancerError

__all__ = ["Curves"]


class Curves:
    """One value of each curve an epoch, in artefacts/NAME.json: {"curves": [{"epoch": 0, "generator_loss": 0.7}]}.

    Pictures are drawn from these files: a curve's name is its label there, underscores read as spaces.
    """

    def __init__(self, artefacts: Path, name: str = "curves") -> None:
        self._path = artefacts / f"{name}.json"
        self._rows: list[dict[str, float]] = []

    def add(self, epoch: int, **values: float) -> None:
        """Add the values of an epoch, counted from 0, and write the file.

        Raises BalancerError where a value is not finite: the training diverged.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                raise BalancerError(
                    f"the generator's training diverged: {name.replace('_', ' ')} is {value} in epoch {epoch + 1}; "
                    "a lower learning rate may help"
                )
        self._rows.append({"epoch": epoch, **values})
        self._path.write_text(json.dumps({"curves": self._rows}, indent=1, allow_nan=False), encoding="utf-8")
