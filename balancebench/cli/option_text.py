"""The options of a component in words, from its model: for `show` and for the documentation."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from balancebench.config import Options

__all__ = ["OptionRow", "option_rows"]

_TYPE_NAMES = {
    "integer": "int",
    "number": "float",
    "string": "text",
    "boolean": "true/false",
    "null": "none",
    "object": "table",
}


class OptionRow(NamedTuple):
    """One option: its name, the values that it takes, its default, and what it means."""

    name: str
    values: str
    default: str
    meaning: str


def option_rows(options: type[Options]) -> list[OptionRow]:
    """Return the options of a model, in its order."""
    schema = options.model_json_schema()
    definitions: dict[str, Any] = schema.get("$defs", {})
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    return [
        OptionRow(
            name=name,
            values=_type_text(described, definitions),
            default="required" if name in schema.get("required", []) else _literal(described.get("default")),
            meaning=described.get("description", ""),
        )
        for name, described in properties.items()
    ]


def _literal(value: Any) -> str:
    return "none" if value is None else json.dumps(value)


def _type_text(described: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return a JSON schema as a few words: "int 1..", "one of a, b", "list of int"."""
    if "$ref" in described:
        described = definitions[described["$ref"].rpartition("/")[2]]
    if choices := described.get("anyOf") or described.get("oneOf"):
        return " or ".join(dict.fromkeys(_type_text(choice, definitions) for choice in choices))
    if "enum" in described or "const" in described:
        return "one of " + ", ".join(map(str, described.get("enum", [described.get("const")])))
    kind: str = described.get("type", "any")
    if kind == "array" and described.get("items"):
        return f"list of {_type_text(described['items'], definitions)}"
    return _TYPE_NAMES.get(kind, kind) + _range_text(described)


def _range_text(described: dict[str, Any]) -> str:
    low = described.get("minimum", described.get("exclusiveMinimum"))
    high = described.get("maximum", described.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    opening = ">" if "exclusiveMinimum" in described else ""
    closing = "<" if "exclusiveMaximum" in described else ""
    return f" {opening}{'' if low is None else low}..{closing}{'' if high is None else high}"
