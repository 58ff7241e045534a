"""The long table as a dataset of the Hugging Face hub's format: a folder that `datasets.load_from_disk` reads.

`datasets.load_from_disk(FOLDER).push_to_hub("me/results")` publishes it. Needs the extra `huggingface`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from balancebench.errors import LeaderboardError
from balancebench.leaderboard.long_table import LongValue, long_values
from balancebench.leaderboard.results import CellResult, SuiteHeader

__all__ = ["read_hub_folder", "write_hub_folder"]

ARROW_TYPES = {"str": "string", "int": "int64", "float | None": "float64"}
_VALUES: TypeAdapter[list[LongValue]] = TypeAdapter(list[LongValue])


def write_hub_folder(folder: Path, suite: SuiteHeader, cells: Sequence[CellResult]) -> int:
    """Write the values of all cells that are done, and return how many there are.

    Raises LeaderboardError where `datasets` is not installed, where no cell is done, or the folder cannot be written or
    holds something else.
    """
    datasets = _library()
    rows = [asdict(value) for value in long_values(suite, cells)]
    if not rows:
        raise LeaderboardError("no cell of the suite is done, so there is nothing to write; run it first")
    if folder.exists() and not (folder / "dataset_info.json").is_file() and any(folder.iterdir()):
        raise LeaderboardError(f"{folder} holds something else than a dataset; name another folder")
    columns = {field.name: datasets.Value(ARROW_TYPES[str(field.type)]) for field in fields(LongValue)}
    try:
        datasets.Dataset.from_list(rows, features=datasets.Features(columns)).save_to_disk(str(folder))
    except OSError as error:
        raise LeaderboardError(f"{folder} cannot be written: {error.strerror or error}") from error
    return len(rows)


def read_hub_folder(folder: Path) -> list[LongValue]:
    """Return the values of such a folder. Raises LeaderboardError where it is none."""
    datasets = _library()
    try:
        return _VALUES.validate_python(datasets.load_from_disk(str(folder)).to_list())
    except FileNotFoundError as error:
        raise LeaderboardError(f"{folder} is no folder that datasets.save_to_disk wrote") from error
    except ValidationError as error:
        raise LeaderboardError(f"{folder} holds a dataset that is no long table of a leaderboard") from error


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise LeaderboardError(
            'the Hugging Face format needs the library datasets: pip install "balancebench[huggingface]"'
        ) from error
    return datasets
