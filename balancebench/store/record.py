"""What a step leaves: its record, in JSON beside its files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from balancebench.config import JSON
from balancebench.plain_text import shown_lines

__all__ = ["FORMAT", "Failure", "FileEntry", "Record", "Status", "failure_record"]

Status = Literal["done", "failed", "out_of_memory", "timeout", "skipped"]
FORMAT = 2  # of stores and records: sealed, and test labels apart


ShownLines = Annotated[str, AfterValidator(shown_lines)]


class FileEntry(BaseModel):
    """A file of a step, by content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size_bytes: int


class Failure(BaseModel):
    """Why a step did not finish."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    message: ShownLines
    traceback: ShownLines = ""


class Record(BaseModel):
    """What a step leaves. Later versions may add fields; those that are missing in older records have defaults.

    duration_seconds: of the work itself. start_up_seconds: of the imports before it, which a warm process has done.
    output: the end of what the step printed, where a worker ran it. has_answers: whether labels of test images belong
    to it, which lie apart. outside_data, warnings: the step's own and those of its inputs, for the reader of any row
    that is made from it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT
    key: str
    stage: str
    label: str
    status: Status
    started_at: str
    duration_seconds: float
    start_up_seconds: float = 0.0
    peak_memory_bytes: int = 0
    identity: dict[str, JSON]
    inputs: dict[str, JSON] = Field(default_factory=dict)
    profile: str | None = None
    provenance: dict[str, JSON] = Field(default_factory=dict)
    files: dict[str, FileEntry] = Field(default_factory=dict)
    has_answers: bool = False
    failure: Failure | None = None
    used_withheld_data: bool = False
    outside_data: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    images_seen: int = 0
    optimiser_steps: int = 0
    output: str = ""


def failure_record(
    step_fields: Mapping[str, JSON], status: Status, message: str, duration_seconds: float = 0.0, traceback: str = ""
) -> Record:
    """Return the record of a step that did not finish; `step_fields` are key, stage, label, identity, inputs."""
    return Record.model_validate(
        {
            **step_fields,
            "status": status,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "duration_seconds": duration_seconds,
            "failure": Failure(message=message, traceback=traceback),
        }
    )
