"""The stages that a cell goes through: one table says everything that the rest of the harness asks of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from balancebench.component import Kind

__all__ = ["STAGES", "Stage", "StageDescription"]

Stage = Literal["load", "imbalance", "measure", "train_generator", "synthesise", "train", "score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDescription:
    """One stage.

    kind: of the component that does the work, None where metrics do. run: "module:function" of what is called with a
    `balancebench.stages.workplace.Workplace`. does: what that is, for a reader. weight: its rough share of a run's
    time, for the first estimate of what is left. uses_device: whether it computes on the GPU where there is one.
    carries_profile: whether its results are of a profile; data and subsets are what they are.
    """

    kind: Kind | None
    run: str
    does: str
    weight: float
    uses_device: bool = True
    carries_profile: bool = True


STAGES: Mapping[Stage, StageDescription] = {
    "load": StageDescription(
        kind="dataset",
        run="balancebench.stages.load:run_load",
        does="decode a data set's images",
        weight=1.0,
        uses_device=False,
        carries_profile=False,
    ),
    "imbalance": StageDescription(
        kind="imbalancer",
        run="balancebench.stages.imbalance:run_imbalance",
        does="choose the training images that stay",
        weight=0.1,
        uses_device=False,
        carries_profile=False,
    ),
    "measure": StageDescription(
        kind=None,
        run="balancebench.stages.measure:run_measure",
        does="compute metrics of a training subset",
        weight=0.3,
        carries_profile=False,
    ),
    "train_generator": StageDescription(
        kind="balancer",
        run="balancebench.stages.train_generator:run_train_generator",
        does="train a balancer's generator",
        weight=8.0,
    ),
    "synthesise": StageDescription(
        kind="balancer",
        run="balancebench.stages.synthesise:run_synthesise",
        does="make a balancer's images",
        weight=4.0,
    ),
    "train": StageDescription(
        kind="balancer",
        run="balancebench.stages.train:run_train",
        does="train a classifier",
        weight=8.0,
    ),
    "score": StageDescription(
        kind=None,
        run="balancebench.stages.score:run_score",
        does="compute metrics of predictions and images",
        weight=0.3,
    ),
}
"""In the order in which a cell goes through them."""
