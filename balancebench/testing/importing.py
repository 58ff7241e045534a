"""Checks that declaring, validating and planning stay light, in a fresh interpreter."""

# ruff: noqa: S101 - checks fail by AssertionError, as tests do
from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType
from unittest import SkipTest

__all__ = ["HEAVY", "declaring_imports_nothing_heavy"]

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

# Imports the plugin, calls its declaring hooks, and does what planning does with every component.
CHILD = """
import importlib, importlib.util, json, sys
path, module, heavy = json.load(sys.stdin)
sys.path[:] = path
from balancebench.errors import BalancebenchError
from balancebench.component import KINDS
from balancebench.registry import Registry
from pydantic import ValidationError
if importlib.util.find_spec(module) is None:
    print(json.dumps(None))
    sys.exit()
registry = Registry()
registry.add_plugin(importlib.import_module(module), module)
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


def declaring_imports_nothing_heavy(plugin: object) -> None:
    """Importing the plugin, calling its hooks, and validating options imports none of `HEAVY`."""
    module = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
    result = subprocess.run(  # noqa: S603 - this interpreter, and code of this module
        [sys.executable, "-c", CHILD],
        input=json.dumps([sys.path, module, HEAVY]),
        capture_output=True,
        text=True,
        check=False,
    )
    last_line = (result.stderr.strip().splitlines() or ["no message"])[-1]
    assert result.returncode == 0, f"{module} cannot be imported in a fresh interpreter: {last_line}"
    loaded = json.loads(result.stdout.splitlines()[-1])
    if loaded is None:
        raise SkipTest(f"{module} cannot be imported by name")
    assert not loaded, f"importing {module} and declaring loads {', '.join(loaded)}; import it in what `build` names"
