"""Every component of the plugin keeps the harness's contracts."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from balancebench.component import KINDS
from balancebench.registry import Registry
from balancebench.testing import Check, collect_checks, parametrize_with_checks, tiny_training_set
from balancebench_imagegen import plugin


def pool_of_tiny_images() -> Path:
    """A pool with images of the classes that the kit's training sets have."""
    folder = Path(tempfile.mkdtemp(prefix="imagegen-pool-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    rng = np.random.default_rng(0)
    for name in tiny_training_set().class_names:
        (folder / name).mkdir()
        for index in range(40):
            image_HWC = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
            Image.fromarray(image_HWC).save(folder / name / f"{index:02}.png")
    return folder


def components(kind):
    registry = Registry()
    registry.add_plugin(plugin, "balancebench-imagegen")
    assert not registry.broken
    return [registered.component for registered in registry.all(kind)]


POOL = pool_of_tiny_images()
BALANCERS = [
    replace(component, smoke={"path": str(POOL)}) if component.name == "image_pool" else component
    for component in components("balancer")
]


@parametrize_with_checks(balancers=BALANCERS, classifiers=components("classifier"))
def test_imagegen_component_conforms(check: Check):
    check()


def test_the_plugin_declares_balancers_and_a_classifier_and_imports_nothing_heavy():
    for check in collect_checks(plugin):
        if check.kind is None:
            check()
    assert [kind for kind in KINDS if components(kind)] == ["balancer", "classifier"]
