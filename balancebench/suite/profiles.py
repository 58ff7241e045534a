"""The same suite with some values replaced: by a profile of its file, or for one command by its `--set`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import tomli

from balancebench.config import JSON, canonical_json
from balancebench.errors import BalancebenchError, PluginError, nearest
from balancebench.registry import Registry
from balancebench.suite.mistakes import Mistakes, Path
from balancebench.suite.schema import AXES, Axis, RunTable

__all__ = ["apply_changes", "apply_profile", "changed_profile", "parse_changes"]

LONGEST_NAME = 80


def apply_profile(document: dict[str, JSON], profile: str, registry: Registry, mistakes: Mistakes) -> None:
    """Replace values in `document` as its profile says; an override that changes nothing is a mistake.

    "AXIS.LABEL.OPTION" sets an option of the entries with that label; "AXIS.*.OPTION", or "AXIS.OPTION", of all entries
    that have the option. "run.KEY" sets a key of [run].
    """
    declared = document.get("profile")
    profiles: dict[str, Any] = declared if isinstance(declared, dict) else {}
    if profile not in profiles:
        mistakes.add(("profile",), f"there is no profile {profile!r}{nearest(profile, profiles)}")
        return
    overrides = profiles[profile]
    for pattern, value in cast("dict[str, JSON]", overrides).items() if isinstance(overrides, dict) else []:
        _replace(document, pattern, value, ("profile", profile, pattern), registry, mistakes)


def apply_changes(
    document: dict[str, JSON], changes: Mapping[str, JSON], registry: Registry, mistakes: Mistakes
) -> None:
    """Replace values in `document` as the command line says, in the words of a profile."""
    for pattern, value in changes.items():
        _replace(document, pattern, value, (f"--set {pattern}",), registry, mistakes)


def parse_changes(settings: Iterable[str]) -> dict[str, JSON]:
    """Return what "classifier.epochs=2" and the like ask for, sorted; a value is TOML, or else text.

    Raises BalancebenchError for what has no equals sign, and for what is set twice.
    """
    changes: dict[str, JSON] = {}
    for setting in settings:
        pattern, equals, text = setting.partition("=")
        pattern = pattern.strip()
        if not equals or not pattern:
            raise BalancebenchError(f"--set {setting!r} names no value: write --set classifier.epochs=2")
        if pattern in changes:
            raise BalancebenchError(f"--set names {pattern!r} twice")
        try:
            changes[pattern] = tomli.loads(f"value = {text}")["value"]
        except tomli.TOMLDecodeError:
            changes[pattern] = text
    return dict(sorted(changes.items()))


def changed_profile(profile: str | None, changes: Mapping[str, JSON]) -> str | None:
    """Return the name of the profile that changes of the command line make: it names folders, and results carry it."""
    if not changes:
        return profile
    written = [
        f"{pattern}={value if isinstance(value, str) else canonical_json(value)}" for pattern, value in changes.items()
    ]
    whole = "+".join(written if profile is None else [profile, *written])
    name = re.sub(r"[^A-Za-z0-9._=+-]+", "-", whole.replace(".*.", "."))
    if name == whole and len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _replace(
    document: dict[str, JSON], pattern: str, value: JSON, at: Path, registry: Registry, mistakes: Mistakes
) -> None:
    head, _, rest = pattern.partition(".")
    if head == "run":
        if rest not in RunTable.model_fields:
            mistakes.add(at, f"[run] has no key {rest!r}{nearest(rest, RunTable.model_fields)}")
            return
        if not isinstance(document.setdefault("run", {}), dict):
            return  # which is a mistake of its own
        document["run"][rest] = value
        mistakes.moved["run", rest] = at
    elif head in AXES and rest:
        label, _, option = rest.rpartition(".")
        _replace_option(document, head, label or "*", option, value, at, registry, mistakes)
    else:
        mistakes.add(
            at,
            'an override is "AXIS.LABEL.OPTION", "AXIS.OPTION" or "run.KEY"; AXIS is one of ' + ", ".join(AXES),
        )


def _replace_option(
    document: dict[str, JSON],
    axis: Axis,
    label: str,
    option: str,
    value: JSON,
    at: Path,
    registry: Registry,
    mistakes: Mistakes,
) -> None:
    tables = document.get(axis)
    changed = unknown = 0
    known: set[str] = set()
    for index, entry in enumerate(cast("list[JSON]", tables) if isinstance(tables, list) else []):
        if not isinstance(entry, dict):
            continue
        table = cast("dict[str, JSON]", entry)
        options = _options(table, axis, registry)
        unknown += not options  # a component that nobody knows, which is a mistake of its own
        known |= options if label == "*" else _labels(table)
        if _applies(table, axis, label, option, registry):
            changed += 1
            table[option] = value
            if isinstance(sweep := table.get("sweep"), dict):
                cast("dict[str, JSON]", sweep).pop(option, None)
            mistakes.moved[axis, index, option] = at
    if not changed and label == "*" and not unknown:
        mistakes.add(at, f"no [[{axis}]] has {option!r}{nearest(option, known)}")
    elif not changed and label != "*":
        mistakes.add(at, f"no [[{axis}]] is called {label!r}{nearest(label, known)}")


def _labels(table: Mapping[str, JSON]) -> set[str]:
    return {
        name for name in (table.get("label"), str(table.get("use", "")).rpartition(":")[2]) if isinstance(name, str)
    }


def _options(table: Mapping[str, JSON], axis: Axis, registry: Registry) -> set[str]:
    try:
        return {"sweep", *registry.find(axis, str(table.get("use"))).component.options.model_fields}
    except PluginError:
        return set()


def _applies(table: Mapping[str, JSON], axis: Axis, label: str, option: str, registry: Registry) -> bool:
    if not isinstance(table.get("use"), str):
        return False
    return option in _options(table, axis, registry) if label == "*" else label in _labels(table)
