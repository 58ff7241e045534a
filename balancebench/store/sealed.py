"""A record as it lies on disk: JSON under a seal, which is the SHA-256 of the rest.

The seal is of what the file says, not of what this version makes of it: fields that another version adds or lacks do
not break it. It finds damage and edits by hand; whoever means to deceive can seal again.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from balancebench.config import JSON, canonical_json
from balancebench.errors import StoreError
from balancebench.store.record import Record

__all__ = ["key_of", "read_record", "record_text"]


def record_text(record: Record) -> str:
    """Return the text of a record's file."""
    document = record.model_dump(mode="json")
    return json.dumps({**document, "seal": _seal_of(document)}, indent=1, allow_nan=False)


def read_record(content: bytes, key: str) -> Record:
    """Return the record of the step at `key`; raise StoreError, with words that follow "record.json", where it is none.

    Its seal must be whole, its key the one it lies under, and that key the SHA-256 of its identity and inputs.
    """
    try:
        document: Any = json.loads(content)
        record = Record.model_validate(document)
        seal = _seal_of(document)
    except (ValueError, RecursionError):
        raise StoreError("is damaged: it is no record") from None
    if record.key != key:
        raise StoreError(f"is of another step, {record.key[:12]}")
    if document.get("seal") != seal:
        raise StoreError("is damaged, or was edited by hand: its seal is broken")
    if key_of(record) != key:
        raise StoreError("is of another step: its key is not that of what it says it was made from")
    return record


def key_of(record: Record) -> str:
    """Return the key of a record's step, from what the record says: as `balancebench.step` makes it."""
    identity = canonical_json({"inputs": record.inputs, "own": record.identity})
    return hashlib.sha256(identity.encode()).hexdigest()


def _seal_of(document: dict[str, JSON]) -> str:
    sealed = {name: value for name, value in document.items() if name != "seal"}
    return hashlib.sha256(canonical_json(sealed).encode()).hexdigest()
