"""Values that were computed from the same inputs before, so that a suite with one more metric computes that one alone.

    STORE/cached/values/ab/ab12.../values.json      {"sha256": of the values' canonical JSON, "values": {name: value}}

What is damaged, or is not there, is computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from balancebench.config import JSON
from balancebench.store.permissions import make_folder
from balancebench.store.step_folders import Store

__all__ = ["keep_values", "kept_values"]


def kept_values(store: Store, identity: JSON) -> dict[str, JSON]:
    """Return the values by name that are kept for inputs of this identity, none where they cannot be read."""
    try:
        document = json.loads(_path(store, identity).read_bytes())
        values, seal = document["values"], document["sha256"]
        return values if seal == _digest(values) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def keep_values(store: Store, identity: JSON, values: Mapping[str, JSON]) -> None:
    """Add values to those kept for inputs of this identity. Of two that add at once one may be lost."""
    path = _path(store, identity)
    merged = {**kept_values(store, identity), **values}
    temporary = store.temporary_folder()
    (temporary / path.name).write_text(json.dumps({"sha256": _digest(merged), "values": merged}), encoding="utf-8")
    make_folder(path.parent, store.root)
    os.replace(temporary / path.name, path)
    shutil.rmtree(temporary, ignore_errors=True)


def _path(store: Store, identity: JSON) -> Path:
    key = _digest(identity)
    return store.root / "cached" / "values" / key[:2] / key / "values.json"


def _digest(value: JSON) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
