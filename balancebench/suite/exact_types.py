"""Finds values that validation turned into another type: `neighbours = true` is 1 to Python, and a slip to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from pydantic import BaseModel

from balancebench.config import JSON

__all__ = ["converted_values"]

_NAMES: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number"}


def converted_values(given: object, validated: object) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield where a value is not of the type that it was taken for, and what to say of it.

    given: as the file has it. validated: what a model made of it. A whole number may stand for a number.
    """
    if isinstance(given, Mapping):
        for key, value in cast("Mapping[str, JSON]", given).items():
            for path, message in converted_values(value, _item(validated, key)):
                yield (key, *path), message
    elif isinstance(given, list) and isinstance(validated, Sequence) and len(validated) == len(given):
        for index, (value, kept) in enumerate(zip(cast("list[JSON]", given), validated, strict=True)):
            for path, message in converted_values(value, kept):
                yield (index, *path), message
    elif (
        type(validated) in _NAMES
        and type(given) is not type(validated)
        and (type(given), type(validated)) != (int, float)
    ):
        shown = str(given).lower() if isinstance(given, bool) else repr(given)
        yield (), f"input should be {_NAMES[type(validated)]}, got {shown}"


def _item(validated: object, key: str) -> object:
    if isinstance(validated, BaseModel):
        return getattr(validated, key, None)
    return cast("Mapping[str, object]", validated).get(key) if isinstance(validated, Mapping) else None
