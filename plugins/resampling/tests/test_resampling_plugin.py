"""What the plugin declares."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pluggy
import pytest
from pydantic import ValidationError

from balancebench import hookspecs
from balancebench_resampling import plugin

COMPONENTS = {component.name: component for component in plugin.balancebench_balancers()}


def test_the_entry_point_leads_to_a_plugin_that_offers_four_balancers():
    (entry_point,) = entry_points(group="balancebench", name="resampling")
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(entry_point.load())
    manager.check_pending()
    (declared,) = manager.hook.balancebench_balancers()
    assert [component.name for component in declared] == [
        "random_oversampling",
        "random_undersampling",
        "smote",
        "adasyn",
    ]


def test_only_the_interpolating_balancers_have_a_step_of_synthesis():
    assert {name for name, component in COMPONENTS.items() if component.synthesises} == {"smote", "adasyn"}


def test_declaring_imports_nothing_heavy():
    heavy = "{'numpy', 'sklearn', 'imblearn', 'scipy', 'torch'}"
    code = f"import sys, balancebench_resampling.plugin; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_says_what_it_is_and_builds_from_defaults_and_smoke_options(name: str):
    component = COMPONENTS[name]
    assert component.summary
    assert component.citation
    assert all(field.description for field in component.options.model_fields.values())
    for options in ({}, component.smoke):
        component.create(component.options.model_validate(options))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random_oversampling", {"target": "smallest"}),
        ("random_oversampling", {"target": 0}),
        ("random_oversampling", {"target": True}),
        ("random_oversampling", {"target": {"cat": 0}}),
        ("random_oversampling", {"variant": "cycling"}),
        ("random_undersampling", {"target": "largest"}),
        ("smote", {"neighbours": 0}),
        ("smote", {"k_neighbors": 5}),
        ("adasyn", {"neighbours": 0}),
        ("adasyn", {"target": [3, 4]}),
    ],
)
def test_options_out_of_range_are_refused(name: str, options: dict[str, Any]):
    with pytest.raises(ValidationError):
        COMPONENTS[name].options.model_validate(options)


def test_the_suite_in_the_readme_is_valid():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", readme, flags=re.DOTALL)
    tables = tomllib.loads(example)["balancer"]
    assert {table["use"] for table in tables} == set(COMPONENTS)
    for table in tables:
        options = {key: value for key, value in table.items() if key not in ("use", "sweep")}
        swept = {key: values[0] for key, values in table.get("sweep", {}).items()}
        COMPONENTS[table["use"]].options.model_validate(options | swept)
