"""TensorBoard: one folder of event files a step, FOLDER/SUITE/STAGE/LABEL-KEY."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from balancebench import Record
from balancebench_trackers.tracker import FollowedStep, figures, options_of, picture_png

__all__ = ["TensorBoardEvents"]


class TensorBoardEvents:
    """Writes event files below a folder. Raises ImportError where tensorboard is not installed."""

    def __init__(self, folder: str, suite: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = Path(folder) / _file_name(suite)
        self._make: Any = SummaryWriter
        self._writers: dict[str, Any] = {}

    def epoch(self, step: FollowedStep, epoch: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve, and write them out: somebody may be watching."""
        writer = self._writer(step)
        for name, value in values.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    def scores(self, step: FollowedStep, values: Mapping[str, float]) -> None:
        """Add the metrics as scalars of one point."""
        for name, value in values.items():
            self._writer(step).add_scalar(name, value, 0)

    def end(self, step: FollowedStep, record: Record) -> None:
        """Add costs as scalars, options and what went wrong as text."""
        writer = self._writer(step)
        for name, value in figures(record).items():
            writer.add_scalar(name, value, 0)
        rows = "".join(f"| {name} | {value} |\n" for name, value in options_of(record).items())
        writer.add_text("options", f"| option | value |\n|---|---|\n{rows}")
        if record.failure is not None:
            writer.add_text(record.status, record.failure.message)
        self._writers.pop(step.key).close()

    def picture(self, path: Path, kind: str, title: str) -> None:
        """Add a picture."""
        import numpy as np
        from PIL import Image

        drawn = Image.open(io.BytesIO(picture_png(path))).convert("RGBA")
        on_white = Image.new("RGBA", drawn.size, "white")  # pictures have a transparent ground, TensorBoard none
        on_white.alpha_composite(drawn)
        image_HWC = np.asarray(on_white.convert("RGB"))
        with self._make(log_dir=str(self._folder / "pictures")) as writer:
            writer.add_image(f"{kind}/{title}", image_HWC, dataformats="HWC")

    def close(self) -> None:
        """Close the writers of steps that did not end."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, step: FollowedStep) -> Any:
        if step.key not in self._writers:
            folder = self._folder / step.stage / f"{_file_name(step.label)}-{step.key[:12]}"
            self._writers[step.key] = self._make(log_dir=str(folder))
        return self._writers[step.key]


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.=-]+", "_", text)[:120].strip("._") or "_"
