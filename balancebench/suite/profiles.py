"""Profiles: the same suite with some values replaced, `"balancer.*.epochs" = 1` or `"run.seeds" = [0]`."""

from __future__ import annotations

from typing import Any, cast

from balancebench.config import JSON
from balancebench.errors import PluginError, nearest
from balancebench.registry import Registry
from balancebench.suite.mistakes import Mistakes
from balancebench.suite.schema import AXES, Axis, RunTable

__all__ = ["apply_profile"]


def apply_profile(document: dict[str, JSON], profile: str, registry: Registry, mistakes: Mistakes) -> None:
    """Replace values in `document` as its profile says; an override that changes nothing is a mistake.

    "AXIS.LABEL.OPTION" sets an option of the entries with that label; "AXIS.*.OPTION" of all entries that have the
    option. "run.KEY" sets a key of [run].
    """
    declared = document.get("profile")
    profiles: dict[str, Any] = declared if isinstance(declared, dict) else {}
    if profile not in profiles:
        mistakes.add(("profile",), f"there is no profile {profile!r}{nearest(profile, profiles)}")
        return
    overrides = profiles[profile]
    for pattern, value in cast("dict[str, JSON]", overrides).items() if isinstance(overrides, dict) else []:
        at = ("profile", profile, pattern)
        head, _, rest = pattern.partition(".")
        if head == "run":
            if rest not in RunTable.model_fields:
                mistakes.add(at, f"[run] has no key {rest!r}{nearest(rest, RunTable.model_fields)}")
                continue
            if not isinstance(document.setdefault("run", {}), dict):
                continue  # which is a mistake of its own
            document["run"][rest] = value
            mistakes.moved["run", rest] = at
        elif head in AXES and "." in rest:
            label, _, option = rest.rpartition(".")
            changed = 0
            tables = document.get(head)
            for index, table in enumerate(cast("list[JSON]", tables) if isinstance(tables, list) else []):
                if isinstance(table, dict) and _applies(cast("dict[str, JSON]", table), head, label, option, registry):
                    changed += 1
                    table[option] = value
                    if isinstance(sweep := table.get("sweep"), dict):
                        cast("dict[str, JSON]", sweep).pop(option, None)
                    mistakes.moved[head, index, option] = at
            if not changed:
                mistakes.add(at, f"no [[{head}]] {'' if label == '*' else repr(label) + ' '}has {option!r}")
        else:
            mistakes.add(
                at,
                'an override is "AXIS.LABEL.OPTION", "AXIS.*.OPTION" or "run.KEY"; AXIS is one of ' + ", ".join(AXES),
            )


def _applies(table: dict[str, JSON], axis: Axis, label: str, option: str, registry: Registry) -> bool:
    use = table.get("use")
    if not isinstance(use, str):
        return False
    if label == "*":
        try:
            return option == "sweep" or option in registry.find(axis, use).component.options.model_fields
        except PluginError:
            return False
    return label in (table.get("label"), use.rpartition(":")[2])
