"""What GM-augCls keeps of the rounds it has finished, so that an interrupted step goes on from them.

Axis suffixes: N images.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from balancebench import LabelledImages

__all__ = ["Acceptance", "FinishedRounds", "Round"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What became of a class's candidates in a round.

    missing: images the class is short of. judged: candidates looked at. passed: those of them that reach alpha; of
    these `missing` at most are added. filled: images below alpha that were added all the same.
    """

    class_name: str
    missing: int
    judged: int
    passed: int
    filled: int

    @property
    def share(self) -> float:
        """The part of the judged that passed."""
        return self.passed / self.judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A finished round. validation_accuracy: of the classifier that chose in it, 0..1; None where there is none."""

    validation_accuracy: float | None
    classes: tuple[Acceptance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRounds:
    """The rounds so far, and what the next one begins with.

    chosen: what the last of them added; None before the first. random: the state of the step's random numbers.
    counted: images seen and optimiser steps taken.
    """

    rounds: tuple[Round, ...]
    chosen: LabelledImages | None
    random: dict[str, Any]
    counted: tuple[int, int]

    def write(self, folder: Path) -> None:
        """Write them to an empty folder."""
        assert self.chosen is not None  # noqa: S101 - there is nothing to keep before a round is finished
        np.save(folder / "images.npy", np.asarray(self.chosen.images_NCHW), allow_pickle=False)
        np.save(folder / "labels.npy", self.chosen.labels_N, allow_pickle=False)
        np.save(folder / "origins.npy", self.chosen.origins_N, allow_pickle=False)
        described = {"rounds": list(map(asdict, self.rounds)), "random": self.random, "counted": self.counted}
        (folder / "rounds.json").write_text(json.dumps(described), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, train: LabelledImages) -> FinishedRounds:
        """Read back what `write` wrote; the images are of the classes of `train`."""
        described = json.loads((folder / "rounds.json").read_bytes())
        rounds = tuple(
            Round(
                validation_accuracy=one["validation_accuracy"],
                classes=tuple(Acceptance(**of_class) for of_class in one["classes"]),
            )
            for one in described["rounds"]
        )
        chosen = replace(
            train,
            images_NCHW=np.load(folder / "images.npy", allow_pickle=False),
            labels_N=np.load(folder / "labels.npy", allow_pickle=False),
            origin_N=np.load(folder / "origins.npy", allow_pickle=False),
        )
        images, steps = described["counted"]
        return cls(rounds=rounds, chosen=chosen, random=described["random"], counted=(images, steps))
