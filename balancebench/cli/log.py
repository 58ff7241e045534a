"""The command that shows what a step left, readably."""

from __future__ import annotations

import json as json_text
from typing import TYPE_CHECKING, Annotated, cast

import typer

from balancebench.cli.presentation import size_text
from balancebench.cli.shared import JsonFlag, StoreOption, console, whole_key
from balancebench.errors import BalancebenchError
from balancebench.folders import DEFAULT_STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from balancebench.store import Record

__all__ = ["log"]

NAME_WIDTH = 14


def log(
    key: Annotated[str, typer.Argument(help="The beginning of a step's key, 6 characters or more.", metavar="KEY")],
    store: StoreOption = DEFAULT_STORE,
    json: JsonFlag = False,
) -> None:
    """Show what a step left: how it ended, its traceback, the end of what it printed, its options, inputs and files.

    A run names the keys of what failed, and balancebench store list those of all steps.

    Example: [bold]balancebench log 3fe1c09a77b2[/bold]
    """
    from balancebench.store import Store

    opened = Store.open(store, create=False)
    record = opened.read(whole_key(opened, key))
    if record is None:
        raise BalancebenchError(f"the record of {key} cannot be read; balancebench store verify says what is damaged")
    if json:
        typer.echo(record.model_dump_json(indent=2))
        return
    out = console()
    for line in _lines(record):
        out.print(line, markup=False, soft_wrap=True)
    for file in sorted(record.files):
        entry = record.files[file]
        where = opened.folder(record.key) / file
        out.print(f"  {where}  {size_text(entry.size_bytes)}", markup=False, soft_wrap=True)


def _lines(record: Record) -> Iterator[str]:
    facts = {
        "step": f"{record.stage} {record.label}",
        "key": record.key,
        "status": record.status,
        "started": record.started_at,
        "took": f"{record.duration_seconds:g} s, and {record.start_up_seconds:g} s of imports before it",
        "peak memory": size_text(record.peak_memory_bytes),
        "profile": record.profile or "",
        "inputs": ", ".join(str(value)[:12] for value in _keys_within(record.inputs)),
        "warnings": "; ".join(record.warnings),
        "outside data": "; ".join(record.outside_data),
    }
    for name, fact in facts.items():
        if fact:
            yield f"{name:<{NAME_WIDTH}} {fact}"
    for name, note in record.provenance.items():
        yield f"{name:<{NAME_WIDTH}} {note if isinstance(note, str) else json_text.dumps(note)}"
    yield f"\nidentity, which makes the key\n{json_text.dumps(record.identity, indent=2)}"
    if record.failure is not None:
        yield f"\nfailure\n  {record.failure.message}"
        if record.failure.traceback:
            yield f"\n{record.failure.traceback.rstrip()}"
    yield f"\nprinted, the last of it\n{record.output}" if record.output else "\nIt printed nothing."
    if record.files:
        yield "\nfiles"


def _keys_within(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for inner in cast("dict[str, object]", value).values():
            yield from _keys_within(inner)
    elif value is not None:
        yield value
