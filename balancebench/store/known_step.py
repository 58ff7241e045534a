"""The main points of a step's record, as the store's index holds them."""

from __future__ import annotations

import json
from typing import NamedTuple

from balancebench.store.record import Record, Status

__all__ = ["KnownStep", "known_step"]

NAMES_DIVIDER = "//"  # no path holds it
HASH_DIGITS = 64


class KnownStep(NamedTuple):
    """The main points of a step's record, and of its files.

    failure: why it did not finish, "" where it did. provenance, outside_data, warnings: JSON. size_bytes: of its files,
    the record not counted. names, hashes: of those files, see `file_names` and `sha256_of`. record_state, files_state:
    stand for size and times of record.json, and of the files. verified: whether these, as they are, were compared with
    their SHA-256. Flags are 0 or 1.
    """

    key: str
    stage: str
    label: str
    status: Status
    started_at: str
    duration_seconds: float
    peak_memory_bytes: int
    images_seen: int
    optimiser_steps: int
    used_withheld_data: int
    outside_data: str
    warnings: str
    failure: str
    provenance: str
    size_bytes: int
    names: str
    hashes: str
    record_state: int
    files_state: int
    verified: int

    @property
    def file_names(self) -> list[str]:
        """The names of its files, record.json left out."""
        return self.names.split(NAMES_DIVIDER) if self.names else []

    def sha256_of(self, name: str) -> str | None:
        """Return the SHA-256 of one of its files, in hexadecimal, None where it left none of this name."""
        names = self.file_names
        if name not in names:
            return None
        begin = HASH_DIGITS * names.index(name)
        return self.hashes[begin : begin + HASH_DIGITS]


def known_step(record: Record, record_state: int, files_state: int) -> KnownStep:
    """Return the main points of a record whose files have these states; they are not compared yet."""
    return KnownStep(
        key=record.key,
        stage=record.stage,
        label=record.label,
        status=record.status,
        started_at=record.started_at,
        duration_seconds=record.duration_seconds,
        peak_memory_bytes=record.peak_memory_bytes,
        images_seen=record.images_seen,
        optimiser_steps=record.optimiser_steps,
        used_withheld_data=int(record.used_withheld_data),
        outside_data=json.dumps(record.outside_data),
        warnings=json.dumps(record.warnings),
        failure="" if record.failure is None else record.failure.message,
        provenance=json.dumps(record.provenance),
        size_bytes=sum(entry.size_bytes for entry in record.files.values()),
        names=NAMES_DIVIDER.join(record.files),
        hashes="".join(entry.sha256 for entry in record.files.values()),
        record_state=record_state,
        files_state=files_state,
        verified=0,
    )
