"""Weights & Biases: one run a step, grouped by suite; offline unless WANDB_MODE says otherwise."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from balancebench import Record
from balancebench_trackers.tracker import FollowedStep, figures, options_of, picture_png

__all__ = ["WandbRuns"]

PROJECT = "balancebench"


class WandbRuns:
    """Writes runs below FOLDER/wandb, to be sent with `wandb sync`. Raises ImportError where wandb is not installed."""

    def __init__(self, folder: str, suite: str) -> None:
        self._wandb: Any = import_module("wandb")
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._suite = suite
        self._runs: dict[str, Any] = {}

    def epoch(self, step: FollowedStep, epoch: int, values: Mapping[str, float]) -> None:
        """Log an epoch; "epoch" is the axis, since epochs of an interrupted training come late."""
        self._run(step).log({"epoch": epoch, **values})

    def scores(self, step: FollowedStep, values: Mapping[str, float]) -> None:
        """Put the metrics into the run's summary."""
        self._run(step).summary.update(dict(values))

    def end(self, step: FollowedStep, record: Record) -> None:
        """Put costs into the summary and options into the configuration."""
        run = self._run(step)
        run.config.update(options_of(record), allow_val_change=True)
        run.summary.update({**figures(record), "status": record.status})
        self._runs.pop(step.key).finish(exit_code=0 if record.status == "done" else 1)

    def picture(self, path: Path, kind: str, title: str) -> None:
        """Log a picture in a run of its own."""
        import io

        from PIL import Image

        image = Image.open(io.BytesIO(picture_png(path)))
        run = self._start(name=f"picture {title}", job_type="pictures", run_id=None)
        run.log({kind: self._wandb.Image(image, caption=title)})
        run.finish()

    def close(self) -> None:
        """End the runs of steps that did not."""
        for run in self._runs.values():
            run.finish(exit_code=1)
        self._runs.clear()

    def _run(self, step: FollowedStep) -> Any:
        if step.key not in self._runs:
            run = self._start(name=step.name, job_type=step.stage, run_id=step.key[:32])
            run.define_metric("*", step_metric="epoch")
            self._runs[step.key] = run
        return self._runs[step.key]

    def _start(self, *, name: str, job_type: str, run_id: str | None) -> Any:
        return self._wandb.init(
            project=PROJECT,
            group=self._suite,
            name=name,
            job_type=job_type,
            id=run_id,
            dir=str(self._folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            reinit="create_new",  # several trainings may run side by side
            settings=self._wandb.Settings(console="off", silent=True),
        )
