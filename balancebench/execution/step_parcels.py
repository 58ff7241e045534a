"""A finished or failed step as one string of bytes, for machines that share no disk.

A step that is done travels as an archive (see `balancebench.store.archive`), whose every file is compared with its
SHA-256 on arrival; one that is not, as its sealed record alone.
"""

from __future__ import annotations

import shutil

from balancebench.errors import StoreError
from balancebench.store import Record, Store, commit_failure
from balancebench.store.archive import export_steps, import_steps
from balancebench.store.sealed import read_record, record_text

__all__ = ["packed_step", "unpack_step"]

ARCHIVE = "step.tar"


def packed_step(store: Store, key: str) -> bytes:
    """Return the parcel of a step that ended; raise StoreError where there is none in the store, or it is damaged."""
    record = store.read(key)
    if record is None:
        raise StoreError(f"the step {key[:12]} left no record on its node")
    if record.status != "done":
        return record_text(record).encode()
    folder = store.temporary_folder()
    try:
        export_steps(store, [key], folder / ARCHIVE, _ignore)
        return (folder / ARCHIVE).read_bytes()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpack_step(store: Store, key: str, parcel: bytes) -> Record:
    """Put the step of a parcel into a store; return its record.

    Raises StoreError where the parcel did not arrive as it was sent, or is of another step.
    """
    if parcel.startswith(b"{"):
        try:
            return commit_failure(store, read_record(parcel, key))
        except StoreError as error:
            raise StoreError(f"the record of {key[:12]} that its node sent {error}") from None
    folder = store.temporary_folder()
    try:
        (folder / ARCHIVE).write_bytes(parcel)
        import_steps(store, folder / ARCHIVE, _ignore)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    record = store.read_done(key)
    if record is None:
        raise StoreError(f"the parcel that its node sent is of another step than {key[:12]}")
    return record


def _ignore(_count: int) -> None:
    return
