"""The JSON Schema of suite files, with the options of every installed component, for editors.

An entry is told by its `use`: each component has a rule "if `use` names it, these are its options". So what an editor
says first of a misspelt option is that option, and not that the entry fits none of a hundred components.
"""

from __future__ import annotations

from typing import Any

from balancebench.component import Kind
from balancebench.registry import RegisteredComponent, Registry
from balancebench.suite.schema import AXES, SuiteFile

__all__ = ["suite_json_schema"]


def suite_json_schema(registry: Registry) -> dict[str, Any]:
    """Return the schema: each [[axis]] entry has the options of the component that its `use` names."""
    schema = SuiteFile.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    for axis in AXES:
        schema["properties"][axis]["items"] = _entry(axis, registry, definitions)
    metric_names = [registered.component.name for registered in registry.all("metric")]
    schema["properties"]["metrics"]["items"] = {
        "if": {"type": "string"},
        "then": {"enum": metric_names},
        "else": _entry("metric", registry, definitions),
    }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "balancebench suite"
    return schema


def _entry(kind: Kind, registry: Registry, definitions: dict[str, Any]) -> dict[str, Any]:
    components = registry.all(kind)
    names = [name for registered in components for name in _names(registered)]
    return {
        "type": "object",
        "properties": {"use": {"enum": list(dict.fromkeys(names))}},
        "required": ["use"],
        "allOf": [_rule(registered, definitions) for registered in components],
    }


def _names(registered: RegisteredComponent) -> list[str]:
    return [registered.component.name, registered.qualified_name]


def _rule(registered: RegisteredComponent, definitions: dict[str, Any]) -> dict[str, Any]:
    options = registered.component.options.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(options.pop("$defs", {}))
    swept = {name: {"type": "array", "minItems": 1} for name in options.get("properties", {})}
    return {
        "if": {"properties": {"use": {"enum": _names(registered)}}, "required": ["use"]},
        "then": {
            "description": registered.component.summary,
            "properties": {
                "use": True,
                "label": {"type": "string"},
                "sweep": {"type": "object", "properties": swept, "additionalProperties": False},
                **options.get("properties", {}),
            },
            "additionalProperties": False,
        },
    }
