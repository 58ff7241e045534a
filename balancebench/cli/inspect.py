"""The commands that look around: list, show, schema, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from balancebench.cli.shared import JsonFlag, StoreOption, console, print_json
from balancebench.errors import BalancebenchError, nearest
from balancebench.folders import DEFAULT_STORE, data_root

if TYPE_CHECKING:
    from rich.console import Console

    from balancebench.component import Component, Kind
    from balancebench.registry import RegisteredComponent, Registry

__all__ = ["doctor", "list_components", "schema", "show"]

_TYPE_NAMES = {
    "integer": "int",
    "number": "float",
    "string": "text",
    "boolean": "true/false",
    "null": "none",
    "object": "table",
}
BF16_TEXT = {
    True: "in this processor's hardware",
    False: "not in this processor's hardware: slower than fp32",
    None: "unknown of this processor",
}


def list_components(
    kind: Annotated[
        str | None, typer.Argument(help="dataset, imbalancer, balancer, classifier or metric.", metavar="[KIND]")
    ] = None,
    plugin: Annotated[
        str | None,
        typer.Option("--plugin", help="Only what this distribution brings, balancebench-longtail.", metavar="NAME"),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """List what a suite can use, with the distribution that brings it.

    Example: [bold]balancebench list balancers --plugin balancebench-longtail[/bold]
    """
    from balancebench.component import KINDS
    from balancebench.registry import load_registry

    registry = load_registry()
    kinds: list[Kind] = [shown_kind for shown_kind in KINDS if kind is None or kind.removesuffix("s") == shown_kind]
    if not kinds:
        raise BalancebenchError(f"there is no kind {kind!r}{nearest(str(kind), KINDS)}")
    distributions = sorted({registered.distribution for of_kind in KINDS for registered in registry.all(of_kind)})
    if plugin is not None:
        named = [name for name in distributions if name in (plugin, f"balancebench-{plugin}")]
        if not named:
            raise BalancebenchError(f"no distribution {plugin!r} brings anything{nearest(plugin, distributions)}")
        distributions = named
    if json:
        components = [
            {
                "kind": registered.kind,
                "name": registered.component.name,
                "distribution": registered.distribution,
                "summary": registered.component.summary,
            }
            for shown_kind in kinds
            for registered in registry.all(shown_kind)
            if registered.distribution in distributions
        ]
        broken = [
            {"distribution": plugin.distribution, "entry_point": plugin.entry_point, "error": plugin.error}
            for plugin in registry.broken
        ]
        print_json({"components": components, "broken": broken})
        return
    out = console()
    for shown_kind in kinds:
        for distribution in distributions:
            components = [entry.component for entry in registry.all(shown_kind) if entry.distribution == distribution]
            if components:
                out.print(f"[underline]{shown_kind}s[/underline] [dim]from {distribution}[/dim]")
                _print_names(out, components)
    _print_broken(out, registry)


def _print_names(out: Console, components: list[Component[Any, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True, min_width=24)
    table.add_column()
    for component in components:
        table.add_row(Text(component.name), Text(component.summary))
    out.print(table)
    out.print()


def _print_broken(out: Console, registry: Registry) -> None:
    if registry.broken:
        out.print("[underline]broken plugins[/underline]")
    for plugin in registry.broken:
        out.print(f"{plugin}", style="red", markup=False, soft_wrap=True)


def show(
    name: Annotated[str, typer.Argument(help="A component's name, or distribution:name.", metavar="COMPONENT")],
    json: JsonFlag = False,
) -> None:
    """Show a component: its options with types, defaults and ranges, and the paper it comes from.

    Example: [bold]balancebench show smote[/bold]
    """
    from balancebench.component import KINDS
    from balancebench.registry import load_registry

    registry = load_registry()
    entries = registry.named(name)
    if not entries:
        names = [registered.component.name for kind in KINDS for registered in registry.all(kind)]
        raise BalancebenchError(
            f"there is no component {name!r}{nearest(name, names) or '; `balancebench list` names all'}"
        )
    if json:
        print_json([_described(registered) for registered in entries])
        return
    out = console()
    for registered in entries:
        _print_component(out, registered)


def _described(registered: RegisteredComponent) -> dict[str, Any]:
    component = registered.component
    return {
        "kind": registered.kind,
        "name": component.name,
        "distribution": registered.distribution,
        "summary": component.summary,
        "citation": component.citation,
        "revision": component.revision,
        "requires": sorted(component.requires),
        "options": component.options.model_json_schema(),
    }


def _print_component(out: Console, registered: RegisteredComponent) -> None:
    from rich.table import Table

    component = registered.component
    out.print(f"[bold]{component.name}[/bold] ({registered.kind}, from {registered.distribution})")
    out.print(component.summary, markup=False)
    if component.citation:
        out.print(component.citation, style="italic", markup=False)
    if component.requires:
        out.print(f"requires: {', '.join(sorted(component.requires))}")
    schema = component.options.model_json_schema()
    properties: dict[str, Any] = schema.get("properties", {})
    if not properties:
        out.print("no options\n")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("option", no_wrap=True, min_width=max(map(len, properties)))
    for heading in ("type", "default", "meaning"):
        table.add_column(heading)
    for option, described in properties.items():
        default = "required" if option in schema.get("required", []) else _literal(described.get("default"))
        table.add_row(option, _type_text(described, schema.get("$defs", {})), default, described.get("description", ""))
    out.print(table)
    out.print()


def _literal(value: Any) -> str:
    import json

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


def schema() -> None:
    """Print the JSON Schema of suite files, every installed component's options included, for editors.

    Example: [bold]balancebench schema > suite.schema.json[/bold]
    """
    from balancebench.registry import load_registry
    from balancebench.suite.json_schema import suite_json_schema

    print_json(suite_json_schema(load_registry()))


def doctor(store: StoreOption = DEFAULT_STORE, json: JsonFlag = False) -> None:
    """Say what is installed, which devices torch sees, what the store holds, and which plugins are broken.

    Example: [bold]balancebench doctor[/bold]
    """
    from balancebench.execution.devices import cores, processor_has_bf16, slot_devices
    from balancebench.execution.provenance import describe_environment
    from balancebench.registry import load_registry
    from balancebench.store import Store

    registry = load_registry()
    findings: dict[str, Any] = describe_environment(registry)
    devices = slot_devices("auto", None)
    findings |= {"devices": devices, "device_names": _device_names(devices), "cores": cores()}
    findings["processor_has_bf16"] = processor_has_bf16()
    findings |= {"data_root": str(data_root()), "store": str(store)}
    if (store / "store.json").is_file():
        findings["store_bytes"] = Store.open(store, create=False).size_bytes()
    findings["broken"] = [str(plugin) for plugin in registry.broken]
    if json:
        print_json(findings)
        return
    out = console()
    findings["bf16"] = BF16_TEXT[findings["processor_has_bf16"]]
    for name in ("python", "platform", "processor", "bf16", "cores", "git_commit"):
        out.print(f"{name:<12} {findings[name]}", markup=False)
    for title in ("versions", "plugins"):
        out.print(f"{title:<12} {', '.join(f'{name} {version}' for name, version in findings[title].items())}")
    out.print(f"{'devices':<12} {', '.join(findings['device_names'])}", markup=False)
    size = f"{findings['store_bytes'] / 2**20:.1f} MiB" if "store_bytes" in findings else "not there yet"
    out.print(f"{'store':<12} {store} ({size})", markup=False)
    out.print(f"{'data':<12} {data_root()}", markup=False)
    _print_broken(out, registry)
    if not registry.broken:
        out.print(f"{'plugins':<12} all load")


def _device_names(devices: list[str]) -> list[str]:
    if not devices[0].startswith("cuda"):
        return sorted(set(devices))
    import torch

    return [f"{device} {torch.cuda.get_device_name(device)}" for device in dict.fromkeys(devices)]
