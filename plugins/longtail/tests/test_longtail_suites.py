"""The suites of the field's protocol use every method, and their published numbers are the README's."""

from __future__ import annotations

import json
import re
import statistics
import tomllib
from pathlib import Path
from typing import Any

import pytest

from balancebench_longtail import plugin

FOLDER = Path(__file__).parents[3] / "suites"
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
NAMES = ("cifar10_lt", "cifar100_lt", "cifar10_lt_local", "fashion_mnist_lt")
NEWER_THAN_ITS_RECORDS = {"fashion_mnist_lt": {"influence_balanced"}}
"""Methods that a suite with committed results takes up when these are made again."""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the plugin is not beside the suites")


def suite(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_in_the_suite_and_its_options_are_valid(name: str):
    components = {component.name: component for component in plugin.balancebench_balancers()}
    tables = suite(name)["balancer"]
    assert {table["use"] for table in tables} == {*components, "none"} - NEWER_THAN_ITS_RECORDS.get(name, set())
    for table in tables:
        if table["use"] in components:
            options = {key: value for key, value in table.items() if key not in ("use", "label")}
            components[table["use"]].options.model_validate(options)


@pytest.mark.parametrize("name", ["cifar10_lt", "cifar100_lt"])
def test_the_field_protocol_is_the_published_one(name: str):
    described = suite(name)
    assert [table["imbalance_ratio"] for table in described["imbalancer"]] == [100, 50, 10]
    assert {table["draw"] for table in described["imbalancer"]} == {"cao2019"}
    assert described["run"]["report"] == ["last", "best_test"]


@pytest.mark.parametrize(("name", "column"), [("cifar10_lt", 1), ("cifar100_lt", 2)])
def test_published_numbers_are_those_of_the_readme(name: str, column: int):
    published = README.partition("## Published numbers")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in published.splitlines() if re.match(r"\| [\w-].*\|.*\d\d\.\d", line)]
    in_readme = sorted(float(number) for row in rows for number in re.findall(r"\d\d\.\d+", row[column]))
    in_suite = sorted(
        round(100 * table["accuracy"], 2) for table in suite(name)["published"] if table["imbalancer"] != "IF 10"
    )
    assert in_suite == in_readme


@pytest.mark.parametrize(("name", "epochs"), [("cifar10_lt", "1,241"), ("cifar100_lt", "1,419")])
def test_published_numbers_of_another_protocol_say_so_and_options_follow_those_that_can_be_followed(
    name: str, epochs: str
):
    described = suite(name)
    protocols = {(table["balancer"], table["source"]): table.get("protocol") for table in described["published"]}
    google = "google-research logit_adjustment, README"
    for form in ("loss", "post hoc"):
        assert protocols[f"logit adjustment, {form}", google] == f"{epochs} epochs"
    assert protocols["remix", "BagofTricks-LT, trick gallery"] == "400 epochs"
    assert all(protocol for (_, source), protocol in protocols.items() if "MiSLAS" in source)
    assert all(
        protocol
        for (balancer, source), protocol in protocols.items()
        if "imbalanced-DL" in source and balancer.endswith("drw")
    )
    balancers = {table.get("label", table["use"]): table for table in described["balancer"]}
    assert protocols["class-balanced focal", "BagofTricks-LT, trick gallery"] is None
    assert balancers["class-balanced focal"]["normalise_by"] == "images"
    assert balancers["remix"]["label_share"] == "batch_mean"


def test_reproduced_numbers_in_the_readme_are_those_of_the_committed_records():
    records = json.loads((FOLDER.parent / "leaderboard" / "fashion_mnist_lt" / "records.json").read_text("utf-8"))
    measured: dict[tuple[str, str], list[float]] = {}
    for cell in records["cells"]:
        accuracy = 100 * cell["scores"]["last"]["metrics"]["balanced_accuracy"]["value"]
        measured.setdefault((cell["task"]["imbalancer"], cell["balancer"]), []).append(accuracy)
    reproduced = README.partition("## Reproduced numbers")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in reproduced.splitlines() if re.match(r"\| .*± ", line)]
    assert len(rows) == 28
    for name, *columns in rows[:-1]:
        for imbalancer, column in zip(("long_tail", "step"), columns, strict=True):
            values = measured[imbalancer, name.strip()]
            mean, deviation = map(float, column.split("(")[0].split("±"))
            assert mean == pytest.approx(statistics.mean(values), abs=0.0051)
            assert deviation == pytest.approx(statistics.stdev(values), abs=0.0051)


def test_the_local_suite_is_the_first_imbalance_of_the_other():
    local, other = suite("cifar10_lt_local"), suite("cifar10_lt")
    assert local["balancer"] == other["balancer"]
    assert local["classifier"] == other["classifier"]
    assert local["imbalancer"] == other["imbalancer"][:1]
    assert local["published"] == [table for table in other["published"] if table["imbalancer"] == "IF 100"]
    assert local["dataset"] == [{"use": "image_folder", "label": "cifar10", "root": "../data/cifar10"}]
