"""Rules about the code base itself."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import balancebench
from balancebench import errors
from balancebench.testing.importing import HEAVY

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "balancebench", *sorted(ROOT.glob("plugins/*/balancebench_*/"))]
SOURCES = {
    ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted(package.rglob("*.py"))
}
# Imports what is heavy and not ours once, then each of our modules in a fork that has none of the others.
IMPORTER = """
import gc, importlib, json, os, sys, traceback
modules, path, preloaded, bytecode = json.load(sys.stdin)
sys.path[:0] = path
for name in preloaded:
    importlib.import_module(name)
sys.modules["pydantic"].create_model("Warm", number=(int, 1))
sys.dont_write_bytecode, sys.pycache_prefix = False, bytecode  # compile each of our modules once, not once a fork
gc.freeze()
failed = {}
for name in modules:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            module = importlib.import_module(name)
            missing = [public for public in getattr(module, "__all__", ()) if not hasattr(module, public)]
            said = f"__all__ names {missing}, which are not there" if missing else ""
        except BaseException:
            said = traceback.format_exc(limit=-1)
        os.write(writing, said.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if said or status:
        failed[name] = said or f"the import ended the process ({status})"
print(json.dumps(failed))
"""
PRELOADED = ("numpy", "pydantic", "typer", "rich.progress", "pluggy", "psutil", "filelock", "PIL.Image", "torch")


def plugin_folders():
    return [str(package.parent) for package in PACKAGES[1:]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_every_module_imports_alone_and_has_what_its_all_names(tmp_path):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORTER],
        input=json.dumps([list(SOURCES), plugin_folders(), PRELOADED, str(tmp_path)]),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {}


@pytest.mark.parametrize("folder", [ROOT, *(package.parent for package in PACKAGES[1:])], ids=lambda path: path.name)
def test_a_distribution_says_its_name_version_and_entry_points_without_being_built(folder):
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"name", "version"} <= project.keys()
    assert not project.get("dynamic")


def test_declaring_validating_and_planning_load_nothing_heavy():
    light = [
        "balancebench.cli.main",
        "balancebench.plan",
        "balancebench.suite.bind",
        "balancebench.suite.json_schema",
        "balancebench.builtin.plugin",
        *(f"{package.name}.plugin" for package in PACKAGES[1:]),
    ]
    code = (
        "import importlib, json, sys\n"
        "modules, path, heavy = json.load(sys.stdin)\n"
        "sys.path[:0] = path\n"
        "for name in modules:\n"
        "    importlib.import_module(name)\n"
        "    print(json.dumps([name, sorted(set(heavy) & set(sys.modules))]))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([light, plugin_folders(), HEAVY]),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    loaded = [json.loads(line) for line in result.stdout.splitlines()]
    assert [name for name, heavy in loaded if heavy] == [], loaded


@pytest.mark.parametrize(
    "name", [name for name in SOURCES if name.rpartition(".")[2] in ("plugin", "components", "options", "hookspecs")]
)
def test_declaring_modules_import_heavy_libraries_in_functions_alone(name):
    top_level = ast.parse(SOURCES[name].read_text(encoding="utf-8")).body
    imported = {alias.name for node in top_level if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in top_level if isinstance(node, ast.ImportFrom) and node.module}
    assert {module.partition(".")[0] for module in imported}.isdisjoint(HEAVY)


def test_every_plugin_of_the_repository_is_an_extra_by_its_name_and_part_of_all():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = everything.removeprefix("balancebench[").removesuffix("]").split(",")
    for package in PACKAGES[1:]:
        name = package.name.removeprefix("balancebench_")
        assert extras[name][0].startswith(f"balancebench-{name}>=")
        assert name in named


def test_no_module_is_called_after_nothing():
    vague = {"utils", "util", "helpers", "helper", "core", "base", "common", "misc"}
    assert [name for name in SOURCES if set(name.split(".")) & vague] == []


def exceptions():
    return {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == errors.__name__
    }


def test_every_exception_is_exported():
    assert set(exceptions()) <= set(balancebench.__all__)
    assert all(getattr(balancebench, name) is kind for name, kind in exceptions().items())


def test_every_exception_is_a_balancebench_error_and_stands_in_the_tree():
    assert all(issubclass(kind, errors.BalancebenchError) for kind in exceptions().values())
    assert set(re.findall(r"^(?:├── |└── )?(\w+Error)\b", errors.__doc__, flags=re.MULTILINE)) == set(exceptions())


def test_every_public_name_is_there_and_has_a_docstring():
    for name in balancebench.__all__:
        public = getattr(balancebench, name)
        is_alias = hasattr(public, "__args__")  # of a type, whose text stands below it where readers of code find it
        assert public.__doc__ or is_alias or not (isinstance(public, type) or callable(public)), name
