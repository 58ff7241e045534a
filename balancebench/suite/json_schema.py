"""The JSON Schema of suite files, with the options of every installed component, for editors."""

from __future__ import annotations

from typing import Any

from balancebench.component import Kind
from balancebench.registry import RegisteredComponent, Registry
from balancebench.suite.schema import AXES, SuiteFile

__all__ = ["suite_json_schema"]


def suite_json_schema(registry: Registry) -> dict[str, Any]:
    """Return the schema: each [[axis]] entry is one of the known components with its own options."""
    schema = SuiteFile.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    for axis in AXES:
        schema["properties"][axis]["items"] = {"oneOf": _entries(axis, registry, definitions)}
    metric_names = [registered.component.name for registered in registry.all("metric")]
    schema["properties"]["metrics"]["items"] = {
        "oneOf": [{"type": "string", "enum": metric_names}, *_entries("metric", registry, definitions)]
    }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "balancebench suite"
    return schema


def _entries(kind: Kind, registry: Registry, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    return [_entry(registered, definitions) for registered in registry.all(kind)]


def _entry(registered: RegisteredComponent, definitions: dict[str, Any]) -> dict[str, Any]:
    options = registered.component.options.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(options.pop("$defs", {}))
    swept = {name: {"type": "array", "minItems": 1} for name in options.get("properties", {})}
    return {
        "type": "object",
        "description": registered.component.summary,
        "properties": {
            "use": {"enum": [registered.component.name, registered.qualified_name]},
            "label": {"type": "string"},
            "sweep": {"type": "object", "properties": swept, "additionalProperties": False},
            **options.get("properties", {}),
        },
        "required": ["use"],
        "additionalProperties": False,
    }
