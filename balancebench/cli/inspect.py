"""The commands that look around: list, show, schema, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from balancebench.cli.option_text import option_rows
from balancebench.cli.shared import JsonFlag, StoreOption, console, print_json
from balancebench.errors import BalancebenchError, nearest
from balancebench.folders import DEFAULT_STORE, data_root

if TYPE_CHECKING:
    from rich.console import Console

    from balancebench.component import Component, Kind
    from balancebench.registry import RegisteredComponent, Registry

__all__ = ["doctor", "list_components", "schema", "show"]

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
    from rich.text import Text

    component = registered.component
    out.print(f"[bold]{component.name}[/bold] ({registered.kind}, from {registered.distribution})")
    out.print(component.summary, markup=False)
    if component.citation:
        out.print(component.citation, style="italic", markup=False)
    if component.requires:
        out.print(f"requires: {', '.join(sorted(component.requires))}")
    rows = option_rows(component.options)
    if not rows:
        out.print("no options\n")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("option", no_wrap=True, min_width=max(len(row.name) for row in rows))
    for heading in ("type", "default", "meaning"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)
    out.print()


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
