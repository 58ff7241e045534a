"""Files beside committed records, whose SHA-256 the records hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from zlib import error as ZlibError

from balancebench.errors import LeaderboardError
from balancebench.plain_text import visible

__all__ = ["read_sealed"]

ParsedT = TypeVar("ParsedT")


def read_sealed(
    path: Path, sha256: str, parse: Callable[[dict[str, Any]], ParsedT], *, kind: str, version: int
) -> ParsedT:
    """Return what `parse` makes of a JSON document.

    kind: what it is a file of, in words. version: the only "format" that is read. Raises LeaderboardError where the
    file is missing, is not the one that was written with the records, or cannot be parsed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LeaderboardError(f"{path} is missing: the records beside it were written with one") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise LeaderboardError(f"{path} is stale or was edited by hand: it is not what the records beside it say")
    try:
        document = json.loads(content)
        if document["format"] != version:
            raise LeaderboardError(f"{path} has format {document['format']}; this version reads {version}")
        return parse(document)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError, ZlibError) as error:
        reason = visible((str(error).splitlines() or [type(error).__name__])[0])
        raise LeaderboardError(f"{path} is no file of {kind}: {reason}") from error
