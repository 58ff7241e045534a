"""Collects the mistakes of a suite file, each with line, table and key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from balancebench.config import JSON
from balancebench.errors import Mistake, nearest
from balancebench.plain_text import visible
from balancebench.suite.locate import Lines

__all__ = ["Mistakes", "Path"]

Path = tuple["str | int", ...]


class Mistakes:
    """Mistakes of one document; `at` is the path of the value, ("balancer", 1, "epochs")."""

    def __init__(self, document: Mapping[str, JSON], lines: Lines) -> None:
        self.noted: list[Mistake] = []
        self.moved: dict[Path, Path] = {}  # where a value that a profile set really stands
        self._document = document
        self._lines = lines

    def add(self, at: Path, message: str) -> None:
        """Note a mistake; one that is already noted is not repeated."""
        stands_at = self._moved(at)
        table, key = self._names(stands_at)
        mistake = Mistake(message=message, table=table, key=key, line=self._line(stands_at))
        if mistake not in self.noted:
            self.noted.append(mistake)

    def add_validation(self, at: Path, error: ValidationError, model: type[BaseModel]) -> None:
        """Note everything a pydantic model found wrong with the value at `at`."""
        for details in error.errors():
            location = self._within_document((*at, *details["loc"]))
            self.add(location, describe(details, fields_at(model, details["loc"])))

    def _moved(self, at: Path) -> Path:
        for length in range(len(at), 0, -1):
            if at[:length] in self.moved:
                return self.moved[at[:length]]
        return at

    def _within_document(self, at: Path) -> Path:
        """Leave out the names of union branches that pydantic puts into a location."""
        value: Any = self._document
        path: Path = ()
        for position, part in enumerate(at):
            inside: bool = (isinstance(value, dict) and part in value) or (
                isinstance(value, list) and isinstance(part, int) and part < len(cast("list[Any]", value))
            )
            if inside:
                value = cast("Any", value)[part]
                path = (*path, part)
            elif position == len(at) - 1 and isinstance(part, str) and isinstance(value, dict):
                path = (*path, part)  # a missing key
        return path

    def _line(self, at: Path) -> int:
        """Return the line of the innermost table or key that the file has on the way, else 1."""
        return next((self._lines[at[:length]] for length in range(len(at), 0, -1) if at[:length] in self._lines), 1)

    def _names(self, at: Path) -> tuple[str, str]:
        if not at:
            return "", ""
        head = str(at[0])
        value: Any = self._document.get(head)
        second = at[1] if len(at) > 1 else None
        if isinstance(second, int):
            entries = cast("list[Any]", value) if isinstance(value, list) else []
            entry: Any = entries[second] if second < len(entries) else None
            if not isinstance(entry, dict):
                return f"{head} {entry!r}", ""
            name: Any = cast("dict[str, Any]", entry).get("label") or entry.get("use")
            shown = f"[[{head}]]" if head != "metrics" else "metrics"
            return f"{shown} {name!r}" if name else shown, ".".join(map(str, at[2:]))
        if isinstance(value, dict) and head == "profile" and second is not None:
            return f"[profile.{second}]", ".".join(map(str, at[2:]))
        if isinstance(value, dict):
            return f"[{head}]", ".".join(map(str, at[1:]))
        return "", ".".join(map(str, at))


def fields_at(model: type[BaseModel], location: Iterable[str | int]) -> list[str]:
    """Return the keys that the model at the parent of `location` knows."""
    current: type[BaseModel] = model
    for part in list(location)[:-1]:
        field = current.model_fields.get(str(part))
        if field is None:
            continue
        inner = list(_models(field.annotation))
        if inner:
            current = inner[0]
    return [field.alias or name for name, field in current.model_fields.items()]


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models(argument)


def describe(details: ErrorDetails, fields: Iterable[str]) -> str:
    """Return one clause for a pydantic error."""
    key = str(details["loc"][-1]) if details["loc"] else ""
    if details["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(key, fields)}"
    if details["type"] == "missing":
        return f"{key!r} is missing"
    message = details["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    shown = visible(repr(details["input"]))
    return f"{message}, got {shown}" if len(shown) <= 80 else message
