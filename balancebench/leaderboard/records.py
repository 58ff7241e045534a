"""Committed records: all results of a suite in one file, from which its leaderboard is made again.

The file is JSON, one cell a line, and stable: the same results give the same bytes. What cells share (identities of
steps, environments, subsets) stands once. It holds its own SHA-256, and no absolute path.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from balancebench.config import JSON
from balancebench.errors import LeaderboardError
from balancebench.leaderboard.results import CellResult, SuiteHeader
from balancebench.plain_text import visible

__all__ = ["Records", "laid_out", "read_records", "records_text", "without_folders"]

FORMAT = 1
# Fields of a cell that are kept once for all cells, and the list that holds them.
SHARED = {"subset": "subsets", "provenance": "environments"}
_CELL = TypeAdapter(CellResult)
ABSOLUTE_PATH = re.compile(r"(?<![\w./:])(?:/|[A-Za-z]:\\)(?:[^\s/\\:'\"]+[/\\])+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """A suite and the results of its cells.

    outcomes_sha256, curves_sha256: of the files of outcomes and of curves beside them, None where they were written
    without.
    """

    suite: SuiteHeader
    cells: tuple[CellResult, ...]
    outcomes_sha256: str | None = None
    curves_sha256: str | None = None


def records_text(
    suite: SuiteHeader,
    cells: Sequence[CellResult],
    outcomes_sha256: str | None = None,
    curves_sha256: str | None = None,
) -> str:
    """Return the file's text; absolute paths in messages and options lose their folders.

    outcomes_sha256, curves_sha256: of the files of outcomes and of curves that are written with them.
    """
    pools: dict[str, dict[str, int]] = {"identities": {}, **{pool: {} for pool in SHARED.values()}}

    def pooled_index(pool: str, value: JSON) -> int:
        return pools[pool].setdefault(_canonical(value), len(pools[pool]))

    lines: list[JSON] = []
    for cell in sorted(cells, key=_order):
        line = without_folders(_CELL.dump_python(cell, mode="json", exclude_defaults=True))
        identities = line.pop("identities", {})
        line["steps"] = {
            stage: [key, pooled_index("identities", identities[stage]) if stage in identities else None]
            for stage, key in line["steps"].items()
        }
        for name, pool in SHARED.items():
            if name in line:
                line[name] = pooled_index(pool, line[name])
        lines.append(line)
    document: dict[str, JSON] = {"format": FORMAT, "suite": without_folders(suite.model_dump(mode="json"))}
    if outcomes_sha256 is not None:
        document["outcomes_sha256"] = outcomes_sha256
    if curves_sha256 is not None:
        document["curves_sha256"] = curves_sha256
    document |= {pool: [json.loads(text) for text in indices] for pool, indices in pools.items()}
    return laid_out({**document, "cells": lines})


def read_records(path: Path) -> Records:
    """Read a file that `records_text` wrote; raise LeaderboardError where a byte of it was changed since."""
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise LeaderboardError(f"{path} has format {document['format']}; this version reads {FORMAT}")
        del document["sha256"]
        intact = laid_out(document) == text
        records = Records(
            suite=SuiteHeader.model_validate(document["suite"]),
            cells=tuple(_CELL.validate_python(_whole(line, document)) for line in document["cells"]),
            outcomes_sha256=document.get("outcomes_sha256"),
            curves_sha256=document.get("curves_sha256"),
        )
    except FileNotFoundError:
        raise LeaderboardError(f"there are no records at {path}") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = visible((str(error).splitlines() or [type(error).__name__])[0])
        raise LeaderboardError(f"{path} is no file of records: {reason}") from error
    if not intact:
        raise LeaderboardError(f"{path} was edited by hand: its content is not what its SHA-256 says")
    return records


def _whole(line: dict[str, JSON], document: dict[str, Any]) -> dict[str, JSON]:
    """Return a cell with what it shares with others put back."""
    cell = {**line, "steps": {stage: key for stage, (key, _) in line["steps"].items()}}
    cell["identities"] = {
        stage: document["identities"][index] for stage, (_, index) in line["steps"].items() if index is not None
    }
    for name, pool in SHARED.items():
        if name in line:
            cell[name] = document[pool][line[name]]
    return cell


def laid_out(document: dict[str, JSON]) -> str:
    """Return the document with its digest, one line for each entry of a list."""
    parts: list[str] = []
    for name, value in document.items():
        if isinstance(value, list) and value:
            entries = ",\n".join(_canonical(entry) for entry in value)
            parts.append(f"{_canonical(name)}:[\n{entries}\n]")
        else:
            parts.append(f"{_canonical(name)}:{_canonical(value)}")
    digest = hashlib.sha256(",\n".join(parts).encode()).hexdigest()
    return "{\n" + ",\n".join([parts[0], f'"sha256":"{digest}"', *parts[1:]]) + "\n}\n"


def _canonical(value: JSON) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _order(cell: CellResult) -> tuple[object, ...]:
    task = cell.task
    return task.dataset, task.imbalancer, task.classifier, cell.role, cell.balancer, cell.seeds


def without_folders(value: JSON) -> JSON:
    """Return the value with ".../name" in the place of every absolute path, in keys too."""
    if isinstance(value, str):
        if "/" not in value and "\\" not in value:  # most, and in a fifth of the time
            return value
        return ABSOLUTE_PATH.sub(".../", value)
    if isinstance(value, dict):
        return {without_folders(key): without_folders(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_folders(inner) for inner in value]
    return value
