"""Every component of the plugin keeps the harness's contracts."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from balancebench.component import KINDS
from balancebench.registry import Registry
from balancebench.testing import Check, collect_checks, parametrize_with_checks
from balancebench_gmaug import plugin


def photograph(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels_HWC = np.random.default_rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels_HWC).save(path)


def data_of_all_sets() -> Path:
    """Four images of each class of each data set, as their publishers lay them out."""
    root = Path(tempfile.mkdtemp(prefix="gmaug-data-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for label, name in enumerate(("daisy", "dandelion", "rose", "sunflower", "tulip")):
        for index in range(4):
            photograph(root / "flowers" / name / f"{index}.jpg", index)
            photograph(root / "utkface" / f"20_1_{label}_{index}.jpg", index)
    rows = [(f"{label}_{index}.jpg", label) for label in range(6) for index in range(4)]
    for index, (name, _) in enumerate(rows):
        photograph(root / "scene" / "train" / name, index)
    lines = ["image_name,label", *(f"{name},{label}" for name, label in rows)]
    (root / "scene" / "train.csv").write_text("\n".join(lines), encoding="utf-8")
    species = root / "inaturalist_2019"
    for number in (3, 5):
        for index in range(4):
            photograph(species / "2019" / "Fungi" / str(number) / f"{index}.jpg", index)
    categories = [{"id": number, "name": f"species {number}", "family": "Boletaceae"} for number in (3, 5)]
    (species / "categories.json").write_text(json.dumps(categories), encoding="utf-8")
    return root


def components(kind):
    registry = Registry()
    registry.add_plugin(plugin, "balancebench-gmaug")
    assert not registry.broken
    return [registered.component for registered in registry.all(kind)]


DATA = data_of_all_sets()
DATASETS = [
    replace(
        component, smoke={**component.smoke, "root": str(DATA / component.name), "size": 8, "test_images_per_class": 2}
    )
    for component in components("dataset")
]


@parametrize_with_checks(
    datasets=DATASETS,
    balancers=components("balancer"),
    classifiers=components("classifier"),
    metrics=components("metric"),
)
def test_conforms(check: Check):
    check()


def test_the_plugin_declares_through_hooks_and_imports_nothing_heavy():
    for check in collect_checks(plugin):
        if check.kind is None:
            check()
    assert [kind for kind in KINDS if components(kind)] == ["dataset", "balancer", "classifier", "metric"]
