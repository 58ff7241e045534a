"""Three observers, each of which does nothing until its environment variable says where to write.

    BALANCEBENCH_TENSORBOARD=FOLDER    event files, below FOLDER/SUITE
    BALANCEBENCH_MLFLOW=URI            a tracking store: sqlite:///mlflow.db, or a server's address
    BALANCEBENCH_WANDB=FOLDER          offline runs, below FOLDER/wandb (WANDB_MODE=online sends them)

Every training, generator's training and score gets a run of its own, called by the step's stage and label.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from balancebench import JSON, PluginError, Record, hookimpl
from balancebench_trackers.tracker import FollowedStep, Tracker, flat_metrics

__all__ = ["Following", "mlflow", "tensorboard", "wandb"]

ALWAYS_FOLLOWED = ("train", "train_generator", "score")


class Following:
    """Tells a tracker what happens, where `variable` is set; pictures may come after a run, or without one.

    opener: "module:class" of what is called with the variable's value and the suite's name.
    """

    def __init__(self, name: str, variable: str, opener: str) -> None:
        self._name = name
        self._variable = variable
        self._opener = opener
        self._tracker: Tracker | None = None
        self._suite = ""

    @hookimpl
    def balancebench_run_started(self, suite: str, profile: str | None) -> None:
        """Open the tracker, where one is asked for."""
        self._suite = f"{suite}.{profile}" if profile else suite
        self._tracker = self._open()

    @hookimpl
    def balancebench_epoch_ended(
        self, key: str, stage: str, label: str, series: str, epoch: int, values: Mapping[str, float]
    ) -> None:
        """Log an epoch."""
        if self._tracker is not None:
            named = {f"{series}/{name}" if series else name: value for name, value in values.items()}
            self._tracker.epoch(FollowedStep(key=key, stage=stage, label=label), epoch, named)

    @hookimpl
    def balancebench_cell_scored(self, key: str, label: str, report: str, values: Mapping[str, JSON]) -> None:
        """Log a cell's metrics."""
        if self._tracker is not None:
            self._tracker.scores(FollowedStep(key=key, stage="score", label=label), flat_metrics(report, values))

    @hookimpl
    def balancebench_step_finished(self, key: str, stage: str, label: str, record: Record | None) -> None:
        """Log what a training or a score was made with, and took."""
        if self._tracker is not None and record is not None and stage in ALWAYS_FOLLOWED:
            self._tracker.end(FollowedStep(key=key, stage=stage, label=label), record)

    @hookimpl
    def balancebench_run_ended(self) -> None:
        """Write everything out."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.close()

    @hookimpl
    def balancebench_picture_drawn(self, suite: str, path: Path, kind: str, title: str) -> None:
        """Log a picture."""
        if self._suite != suite and not self._suite.startswith(f"{suite}."):  # drawn without a run, or under a profile
            self._suite = suite
        tracker = self._open()
        if tracker is not None:
            tracker.picture(path, kind, title)
            tracker.close()

    def _open(self) -> Tracker | None:
        where = os.environ.get(self._variable, "")
        if not where:
            return None
        module_name, _, attribute = self._opener.partition(":")
        try:
            return cast("Tracker", getattr(import_module(module_name), attribute)(where, self._suite))
        except ImportError as error:
            raise PluginError(
                f"{self._variable} is set, but {error.name or self._name} is not installed; "
                f'install it with: pip install "balancebench-trackers[{self._name}]"'
            ) from error


tensorboard = Following(
    "tensorboard", "BALANCEBENCH_TENSORBOARD", "balancebench_trackers.tensorboard_events:TensorBoardEvents"
)
mlflow = Following("mlflow", "BALANCEBENCH_MLFLOW", "balancebench_trackers.mlflow_store:MlflowStore")
wandb = Following("wandb", "BALANCEBENCH_WANDB", "balancebench_trackers.wandb_runs:WandbRuns")
