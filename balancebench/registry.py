"""Finds plugins and collects the components they declare.

The loader reads the entry points of group `balancebench` itself, so that a plugin that cannot be imported, or that
declares nonsense, is one visible row and stops only the suites that need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from typing import Any, cast

import pluggy

from balancebench import hookspecs
from balancebench.advice import Advisor
from balancebench.component import KINDS, BalancerComponent, Component, Kind, MetricComponent
from balancebench.config import Options
from balancebench.contained import contained
from balancebench.errors import PluginError, nearest
from balancebench.plain_text import visible

__all__ = ["OUR_PLUGINS", "BrokenPlugin", "RegisteredComponent", "Registry", "load_registry"]

OF_COMPONENTS = tuple(
    f"balancebench-{name}" for name in ("cgan", "datasynth", "gmaug", "imagegen", "longtail", "quality", "resampling")
)
OUR_PLUGINS = (*OF_COMPONENTS, "balancebench-trackers")  # which observes, and brings nothing that a suite can name

CORE = "balancebench"
ENTRY_POINT_GROUP = "balancebench"
COMPONENT_TYPES: dict[Kind, type[Component[Any, Any]]] = {
    "dataset": Component,
    "imbalancer": Component,
    "balancer": BalancerComponent,
    "classifier": Component,
    "metric": MetricComponent,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredComponent:
    """A component and the distribution that brought it."""

    kind: Kind
    component: Component[Any, Any]
    distribution: str

    @property
    def qualified_name(self) -> str:
        """`distribution:name`, unique in an environment."""
        return f"{self.distribution}:{self.component.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenPlugin:
    """A plugin that could not be loaded: who brought it, through which entry point, and what went wrong."""

    distribution: str
    entry_point: str
    error: str

    def __str__(self) -> str:
        return f"{self.distribution} (entry point {self.entry_point}): {self.error}"


class Registry:
    """Every component of an environment, by kind and name."""

    def __init__(self) -> None:
        self.hooks = pluggy.PluginManager(hookspecs.PROJECT)
        self.hooks.add_hookspecs(hookspecs)
        self.broken: list[BrokenPlugin] = []
        self.versions: dict[str, str] = {}
        self.advisors: list[Advisor] = []
        self._components: dict[Kind, dict[str, list[RegisteredComponent]]] = {kind: {} for kind in KINDS}

    def add_plugin(self, plugin: object, distribution: str, entry_point: str = "") -> None:
        """Register a plugin and what it declares; one that is broken adds a row to `broken` and nothing else."""
        name = f"{distribution}:{entry_point}" if entry_point else distribution
        try:
            self.hooks.register(plugin, name)
            unknown = sorted(hook for hook in dir(plugin) if self._is_unknown_hook(plugin, hook))
            if unknown:
                known_hooks = [hook for hook in dir(hookspecs) if hook.startswith("balancebench_")]
                raise PluginError(f"there is no hook {unknown[0]!r}{nearest(unknown[0], known_hooks)}")
            with contained():
                declared = [registered for kind in KINDS for registered in self._declared(kind, name, distribution)]
                advisors = list(self._declared_advisors(name))
        except Exception as error:  # noqa: BLE001 - a plugin may fail in any way; none of them may stop the others
            if self.hooks.has_plugin(name):
                self.hooks.unregister(name=name)
            self.add_broken(distribution, entry_point, error)
            return
        self.advisors += advisors
        for registered in declared:
            self._components[registered.kind].setdefault(registered.component.name, []).append(registered)

    def add_broken(self, distribution: str, entry_point: str, error: BaseException) -> None:
        """Note a plugin that could not be loaded."""
        text = visible(f"{type(error).__name__}: {error}".strip().splitlines()[0])
        self.broken.append(BrokenPlugin(distribution=distribution, entry_point=entry_point, error=text))

    def find(self, kind: Kind, use: str) -> RegisteredComponent:
        """Return the component that a suite names by `name` or `distribution:name`; raise PluginError otherwise."""
        distribution, _, name = use.rpartition(":")
        candidates = self._components[kind].get(name, [])
        if distribution:
            candidates = [entry for entry in candidates if entry.distribution == distribution]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            offers = " and ".join(sorted(entry.distribution for entry in candidates))
            examples = " or ".join(sorted(repr(entry.qualified_name) for entry in candidates))
            raise PluginError(f"{kind} {name!r} is offered by {offers}; write {examples}")
        elsewhere = [entry.qualified_name for entry in self._components[kind].get(name, [])]
        if elsewhere:  # of another distribution than was said
            raise PluginError(f"unknown {kind} {use!r} (did you mean {' or '.join(map(repr, sorted(elsewhere)))}?)")
        kinds: list[Kind] = [other for other in KINDS if name in self._components[other]]
        if kinds:
            raise PluginError(f"there is no {kind} {use!r}: it is of the kind {kinds[0]}, named in {_where(kinds[0])}")
        qualified = [entry.qualified_name for entry in self.all(kind)]
        hint = nearest(use, qualified if distribution else self._components[kind])
        broken = f"; broken plugins: {'; '.join(map(str, self.broken))}" if self.broken else ""
        absent = [plugin for plugin in OF_COMPONENTS if plugin not in self.versions]
        brought = f"; or it comes with one of these, not installed here: {', '.join(absent)}" if absent else ""
        raise PluginError(f"unknown {kind} {use!r}{hint}{broken}{brought}")

    def all(self, kind: Kind) -> Sequence[RegisteredComponent]:
        """Return the components of one kind, sorted by name and distribution."""
        entries = [entry for entries in self._components[kind].values() for entry in entries]
        return sorted(entries, key=lambda entry: (entry.component.name, entry.distribution))

    def named(self, name: str) -> Sequence[RegisteredComponent]:
        """Return the components of any kind that are called `name` or `distribution:name`."""
        entries = [entry for kind in KINDS for entry in self.all(kind)]
        return [entry for entry in entries if name in (entry.component.name, entry.qualified_name)]

    def _is_unknown_hook(self, plugin: object, name: str) -> bool:
        marked = self.hooks.parse_hookimpl_opts(plugin, name)  # type: ignore[arg-type]
        return marked is not None and not hasattr(hookspecs, marked.get("specname") or name)

    def _declared_advisors(self, plugin_name: str) -> Iterable[Advisor]:
        for implementation in self.hooks.hook.balancebench_advisors.get_hookimpls():
            if implementation.plugin_name == plugin_name:
                for advisor in cast("Iterable[object]", implementation.function()):
                    if not isinstance(advisor, Advisor):
                        raise PluginError(f"balancebench_advisors returned {advisor!r}, not an Advisor")
                    yield advisor

    def _declared(self, kind: Kind, plugin_name: str, distribution: str) -> Iterable[RegisteredComponent]:
        caller: pluggy.HookCaller = getattr(self.hooks.hook, f"balancebench_{kind}s")
        for implementation in caller.get_hookimpls():
            if implementation.plugin_name != plugin_name:
                continue
            names: set[str] = set()
            for component in cast("Iterable[object]", implementation.function()):
                checked = _checked(kind, component)
                if checked.name in names:
                    raise PluginError(f"{kind} {checked.name!r} is declared twice")
                names.add(checked.name)
                yield RegisteredComponent(kind=kind, component=checked, distribution=distribution)


def _where(kind: Kind) -> str:
    return "metrics" if kind == "metric" else f"[[{kind}]]"


def _checked(kind: Kind, component: object) -> Component[Any, Any]:
    expected = COMPONENT_TYPES[kind]
    if not isinstance(component, expected):
        raise PluginError(f"balancebench_{kind}s returned {component!r}, not a {expected.__name__}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", component.name):
        raise PluginError(f"{kind} name {component.name!r} is not lower_snake_case")
    if not re.fullmatch(r"[\w.]+:\w+", str(component.build)):
        raise PluginError(f'{kind} {component.name!r} has build = {component.build!r}; write "package.module:Name"')
    if not issubclass(cast("type[object]", component.options), Options):
        raise PluginError(f"the options of {kind} {component.name!r} do not derive from balancebench.Options")
    return cast("Component[Any, Any]", component)


@cache
def load_registry() -> Registry:
    """Load the core's own components and every installed plugin."""
    registry = Registry()
    registry.versions[CORE] = metadata.version(CORE)
    registry.add_plugin(import_module("balancebench.builtin.plugin"), CORE)
    seen: set[tuple[str, str]] = set()
    for entry_point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        distribution = entry_point.dist.name if entry_point.dist else "unknown"
        if (distribution, entry_point.name) in seen:  # the same distribution twice on the path
            continue
        seen.add((distribution, entry_point.name))
        registry.versions[distribution] = entry_point.dist.version if entry_point.dist else "unknown"
        try:
            with contained():
                plugin = entry_point.load()
        except Exception as error:  # noqa: BLE001 - importing a broken plugin may do anything
            registry.add_broken(distribution, entry_point.name, error)
            continue
        registry.add_plugin(plugin, distribution, entry_point.name)
    return registry
