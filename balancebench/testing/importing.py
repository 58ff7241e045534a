"""Checks that declaring, validating and planning stay light, in a fresh interpreter."""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from functools import partial
from types import ModuleType
from typing import Any
from unittest import SkipTest

from balancebench.component import Component

__all__ = ["HEAVY", "declaring_imports_nothing_heavy", "modules_of"]

HEAVY = (
    "cv2",
    "datasets",
    "diffusers",
    "imblearn",
    "jax",
    "matplotlib",
    "numpy",
    "pandas",
    "scipy",
    "skimage",
    "sklearn",
    "tensorflow",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
    "transformers",
)
"""Libraries that no plugin may import before one of its components is built."""

# Imports the modules, calls the declaring hooks of each, and does what planning does with every component.
CHILD = """
import importlib, importlib.util, json, sys
path, modules, heavy = json.load(sys.stdin)
sys.path[:] = path
from balancebench.errors import BalancebenchError
from balancebench.component import KINDS
from balancebench.registry import Registry
from pydantic import ValidationError
if any(importlib.util.find_spec(name) is None for name in modules):
    print(json.dumps(None))
    sys.exit()
registry = Registry()
for name in modules:
    registry.add_plugin(importlib.import_module(name), name)
for found in [found for kind in KINDS for found in registry.all(kind)]:
    try:
        options = found.component.options.model_validate(dict(found.component.smoke))
        found.component.outside_data(options)
        if getattr(found.component, "identity", None) is not None:
            found.component.identity(options)
    except (ValidationError, BalancebenchError):
        pass
print(json.dumps(sorted(set(heavy) & set(sys.modules))))
"""


def declaring_imports_nothing_heavy(modules: Iterable[str]) -> None:
    """Importing the declaring modules, calling their hooks, and validating options imports none of `HEAVY`."""
    names = sorted(modules)
    result = subprocess.run(  # noqa: S603 - this interpreter, and code of this module
        [sys.executable, "-c", CHILD],
        input=json.dumps([sys.path, names, HEAVY]),
        capture_output=True,
        text=True,
        check=False,
    )
    last_line = (result.stderr.strip().splitlines() or ["no message"])[-1]
    assert result.returncode == 0, f"{', '.join(names)} cannot be imported in a fresh interpreter: {last_line}"
    loaded = json.loads(result.stdout.splitlines()[-1])
    if loaded is None:
        raise SkipTest(f"{', '.join(names)} cannot be imported by name")
    assert not loaded, (
        f"importing {', '.join(names)} and declaring loads {', '.join(loaded)}; import them in the body of `build`"
    )


def modules_of(plugin: object | None, components: Iterable[Component[Any]]) -> set[str]:
    """Return the modules that declare: the plugin's, or those of the components' options and build functions."""
    if isinstance(plugin, ModuleType):
        return {plugin.__name__}
    if plugin is not None:
        return {type(plugin).__module__}
    builds = [component.build for component in components]
    functions = [build.func if isinstance(build, partial) else build for build in builds]
    return {function.__module__ for function in functions} | {component.options.__module__ for component in components}
