"""The suites are the slides' table and what can be measured at home, planned on photographs of the test's own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from balancebench.plan import expand
from balancebench.registry import load_registry
from balancebench.suite.bind import bind_suite
from balancebench_datasynth.options import FruitCnnOptions

SUITES = Path(__file__).parents[3] / "suites"

pytestmark = pytest.mark.skipif(not (SUITES / "fruits.toml").is_file(), reason="the plugin is not beside the suites")


@pytest.fixture
def fruits(tmp_path, monkeypatch):
    """Tiny photographs at $BALANCEBENCH_DATA/fruits, as many of each class as the slides have."""
    monkeypatch.setenv("BALANCEBENCH_DATA", str(tmp_path))
    counts = {"train": (75, 73, 72), "test": (19, 18, 18)}
    rng = np.random.default_rng(0)
    for split, counts_K in counts.items():
        for name, count in zip(("apple", "banana", "orange"), counts_K, strict=True):
            folder = tmp_path / "fruits" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels_HWC = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
                Image.fromarray(pixels_HWC).save(folder / f"{index}.png")


@pytest.mark.parametrize("name", ["fruits", "fruits_local"])
@pytest.mark.parametrize("profile", [None, "smoke"])
def test_the_suites_can_be_planned(fruits, name, profile):
    plan = expand(bind_suite(SUITES / f"{name}.toml", load_registry(), profile))
    assert {cell.task.classifier for cell in plan.cells} <= {"fruit_cnn", "pixels -1..1", "pixels 0..1"}
    if profile is None:
        assert {cell.seeds.generator for cell in plan.cells} == {0, 1, 2, 3, 4}


def test_every_published_accuracy_is_in_the_suite():
    suite = tomllib.loads((SUITES / "fruits.toml").read_text())
    published = {(table["dataset"], table["balancer"]): table["accuracy"] for table in suite["published"]}
    assert published == {
        ("white padding", "none"): 0.9636,
        ("white padding", "all synthetic"): 0.6364,
        ("black padding", "none"): 0.8727,
        ("black padding", "all synthetic, margins"): 0.7455,
        ("black padding", "half synthetic"): 0.8909,
        ("black padding", "70 % synthetic"): 0.8909,
    }
    for accuracy in published.values():  # shares of the 55 test photographs
        assert abs(accuracy * 55 - round(accuracy * 55)) < 0.01


def test_the_recipe_is_the_published_one():
    options = FruitCnnOptions()
    assert (options.epochs, options.batch_size, options.learning_rate, options.optimiser) == (10, 32, 1e-3, "adam")


def test_the_local_suite_mixes_and_fits_as_the_slides_ask():
    suite = tomllib.loads((SUITES / "fruits_local.toml").read_text())
    (mix,) = [table for table in suite["balancer"] if table["use"] == "mix"]
    assert mix["sweep"] == {"synthetic_share": [0.0, 0.3, 0.5, 0.7, 1.0]}
    assert [table["fit"] for table in suite["dataset"]] == ["letterbox", "stretch"]
    assert suite["classifier"][0]["steps"] == 10 * -(-220 // 32)  # ten epochs, the last batch included
    assert "/tmp" not in (SUITES / "fruits_local.toml").read_text()
