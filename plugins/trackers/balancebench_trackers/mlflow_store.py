"""MLflow: one experiment a suite, one run a step, through the client alone; no server is started."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from balancebench import Record
from balancebench_trackers.tracker import FollowedStep, figures, options_of

__all__ = ["MlflowStore"]

LONGEST_VALUE = 500  # characters of a parameter that every store takes


class MlflowStore:
    """Logs to the tracking store of a URI. Raises ImportError where mlflow is not installed."""

    def __init__(self, uri: str, suite: str) -> None:
        self._client: Any = import_module("mlflow").MlflowClient(tracking_uri=uri)
        experiment = self._client.get_experiment_by_name(suite)
        self._experiment = self._client.create_experiment(suite) if experiment is None else experiment.experiment_id
        self._runs: dict[str, str] = {}

    def epoch(self, step: FollowedStep, epoch: int, values: Mapping[str, float]) -> None:
        """Log a point of each curve; stores refuse what is not finite."""
        for name, value in values.items():
            if math.isfinite(value):
                self._client.log_metric(self._run(step), _name(name), value, step=epoch)

    def scores(self, step: FollowedStep, values: Mapping[str, float]) -> None:
        """Log the metrics."""
        for name, value in values.items():
            self._client.log_metric(self._run(step), _name(name), value)

    def end(self, step: FollowedStep, record: Record) -> None:
        """Log costs as metrics, options as parameters, and how the step ended."""
        run = self._run(step)
        for name, value in figures(record).items():
            self._client.log_metric(run, _name(name), value)
        for name, value in options_of(record).items():
            self._client.log_param(run, _name(name), str(value)[:LONGEST_VALUE])
        if record.failure is not None:
            self._client.set_tag(run, "failure", record.failure.message)
        self._client.set_terminated(run, "FINISHED" if record.status == "done" else "FAILED")
        del self._runs[step.key]

    def picture(self, path: Path, kind: str, title: str) -> None:
        """Keep the file as an artefact of the run "pictures", one for all."""
        runs = self._client.search_runs([self._experiment], "tags.`mlflow.runName` = 'pictures'", max_results=1)
        run = (
            runs[0].info.run_id if runs else self._client.create_run(self._experiment, run_name="pictures").info.run_id
        )
        self._client.log_artifact(run, str(path), kind)
        self._client.set_terminated(run, "FINISHED")

    def close(self) -> None:
        """End the runs of steps that did not."""
        for run in self._runs.values():
            self._client.set_terminated(run, "KILLED")
        self._runs.clear()

    def _run(self, step: FollowedStep) -> str:
        if step.key not in self._runs:
            tags = {"balancebench.key": step.key, "balancebench.stage": step.stage}
            run = self._client.create_run(self._experiment, run_name=step.name, tags=tags)
            self._runs[step.key] = run.info.run_id
        return self._runs[step.key]


def _name(text: str) -> str:
    """Return a name of the characters that MLflow takes."""
    return re.sub(r"[^\w\-. /:]", "_", text, flags=re.ASCII)
