"""A suite of every balancer with every classifier that the registry has, small enough to say whether they run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from balancebench.registry import Registry

CLASSES = 4
# To be trained on images of 32x32 pixels.
ENLARGED: dict[str, dict[str, Any]] = {"timm_model": {"image_size": 64}, "torchvision_model": {"image_size": 64}}
GREY = frozenset({"small_cnn", "fashion_cnn"})
LEFT_OUT = {"adasyn": "needs more images than these", "image_pool": "needs images from outside"}


def write_matrix(folder: Path, registry: Registry, *, precision: str, deterministic: bool, every: int = 1) -> Path:
    """Write the suite and the colour images that it reads, and return its path; every: take each n-th balancer."""
    _write_images(folder / "bars")
    balancers = [
        {"use": known.component.name, **known.component.smoke}
        for known in registry.all("balancer")
        if known.component.name not in {*LEFT_OUT, "none"} and "network" not in known.component.requires
    ]
    classifiers = [
        {"use": known.component.name, **known.component.smoke, **ENLARGED.get(known.component.name, {})}
        for known in registry.all("classifier")
    ][: None if every == 1 else 2]
    lines = ["schema = 1", 'name = "matrix"', 'metrics = ["accuracy", "loss", "confusion_matrix"]', "[run]"]
    lines += ["seeds = [0]", f'precision = "{precision}"', f"deterministic = {json.dumps(deterministic)}"]
    lines += ["[[dataset]]", 'use = "digits"', 'label = "grey"', "images_per_class = 40"]
    lines += ["[[dataset]]", 'use = "image_folder"', 'label = "colour"', f"root = {json.dumps(str(folder / 'bars'))}"]
    lines += ["[[imbalancer]]", 'use = "long_tail"', "imbalance_ratio = 4"]
    for kind, tables in (("balancer", balancers[::every]), ("classifier", classifiers)):
        for table in tables:
            lines += [f"[[{kind}]]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    for table in classifiers:
        if table["use"] not in GREY:
            lines += ["[[exclude]]", 'dataset = "grey"', f'classifier = "{table["use"]}"']
    path = folder / "matrix.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _write_images(folder: Path) -> None:
    """Write noise of 32x32 pixels, with a bright bar whose place and colour tell the class."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 12)):
        for label in range(CLASSES):
            (folder / split / f"bar{label}").mkdir(parents=True)
            for index in range(count):
                pixels_HWC = rng.integers(0, 128, (32, 32, 3), dtype=np.uint8)
                pixels_HWC[label * 8 : label * 8 + 8, :, label % 3] += 120
                Image.fromarray(pixels_HWC).save(folder / split / f"bar{label}" / f"{index}.png")


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(str(key))} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
