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
from balancebench_longtail import plugin

COMPONENTS = {component.name: component for component in plugin.balancebench_balancers()}
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
WRAPPING = {"crt", "tau_norm", "posterior_recalibration", "mixup", "remix", "cutmix", "cmo"}


def test_the_entry_point_leads_to_a_plugin_that_offers_every_method():
    installed = entry_points(group="balancebench", name="longtail")
    if not installed:
        pytest.skip("balancebench-longtail is not installed, only importable")
    (entry_point,) = installed
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(entry_point.load())
    manager.check_pending()
    (declared,) = manager.hook.balancebench_balancers()
    assert [component.name for component in declared] == list(COMPONENTS)
    assert len(COMPONENTS) == 20


def test_plans_draw_nothing_so_seeds_of_generators_share_a_training():
    assert not any(component.seeded or component.synthesises for component in COMPONENTS.values())


def test_declaring_imports_nothing_heavy():
    heavy = "{'numpy', 'scipy', 'torch', 'torchvision'}"
    code = f"import sys, balancebench_longtail.plugin; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_component_says_what_it_is_and_builds_from_defaults_and_smoke_options(name: str):
    component = COMPONENTS[name]
    assert component.summary
    assert component.citation
    for options in ({}, component.smoke):
        component.create(component.options.model_validate(options))


def test_methods_that_act_on_batches_or_after_training_wrap_any_balancer():
    assert {name for name, component in COMPONENTS.items() if "base" in component.options.model_fields} == WRAPPING


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("weighted_cross_entropy", {"weighting": "frequency"}),
        ("class_balanced_loss", {"beta": -0.1}),
        ("class_balanced_loss", {"beta": 1.0001}),
        ("class_balanced_loss", {"gamma": -1}),
        ("focal", {"gamma": -0.5}),
        ("ldam", {"max_margin": 0}),
        ("ldam", {"scale": 0}),
        ("drw", {"defer_at": 0}),
        ("drw", {"defer_at": 1}),
        ("drw", {"defer_at": 160}),
        ("drw", {"loss": "hinge"}),
        ("drw", {"loss": {"use": "focal", "scale": 30}}),
        ("drs", {"defer_at": 1.5}),
        ("ldam_drw", {"loss": "focal"}),
        ("logit_adjustment", {"tau": -1}),
        ("logit_adjustment", {"tau": float("inf")}),
        ("posterior_recalibration", {"rebalancing": -0.1}),
        ("tau_norm", {"tau": -0.5}),
        ("crt", {"head_share": 0}),
        ("crt", {"learning_rate": 0}),
        ("progressive_sampling", {"stages": 1}),
        ("class_balanced_sampling", {"stages": 2}),
        ("mixup", {"alpha": 0}),
        ("remix", {"kappa": 0.5}),
        ("remix", {"tau": 1.5}),
        ("cutmix", {"probability": 2}),
        ("cmo", {"base": "mixup"}),
    ],
)
def test_options_out_of_range_are_refused(name: str, options: dict[str, Any]):
    with pytest.raises(ValidationError):
        COMPONENTS[name].options.model_validate(options)


def test_a_loss_may_be_a_name_or_a_table_and_both_are_one_configuration():
    options = COMPONENTS["drw"].options
    by_name, by_table = (options.model_validate({"loss": loss}) for loss in ("focal", {"use": "focal", "gamma": 2.0}))
    assert by_name == by_table
    assert by_name.model_dump(mode="json")["loss"] == {"use": "focal", "gamma": 2.0}


def test_the_suite_in_the_readme_is_valid():
    (example,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    for table in tomllib.loads(example)["balancer"]:
        options = {key: value for key, value in table.items() if key not in ("use", "sweep", "label")}
        swept = {key: values[0] for key, values in table.get("sweep", {}).items()}
        COMPONENTS[table["use"]].options.model_validate(options | swept)


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_balancer_is_in_the_readme(name: str):
    assert f"`{name}`" in README
