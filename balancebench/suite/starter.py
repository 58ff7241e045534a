"""A suite file to start from: the controls that any method must beat, and generated images with and without a choice.

Only what is installed is named.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from balancebench.component import Kind
from balancebench.errors import PluginError
from balancebench.registry import Registry

__all__ = ["starter_suite"]

METRICS = ("balanced_accuracy", "ssim_super_sub_classes", "near_duplicates")
BALANCERS: Sequence[tuple[str, Sequence[str]]] = (
    ("random_oversampling", ()),
    ("balanced_softmax", ()),
    ("cmo", ('base = { use = "balanced_softmax" }',)),
    ("equal_exposure", ('base = { use = "mlp_cgan" }',)),
    ("mlp_cgan", ()),
    ("gm_aug", ('base = { use = "mlp_cgan" }',)),
)


def starter_suite(
    registry: Registry,
    *,
    name: str,
    root: Path,
    size: int,
    test_fraction: float | None,
    superclass_level: bool,
) -> str:
    """Return the text of a suite of the image folder `root`, which is read as relative to the suite's own folder."""
    dataset = ["[[dataset]]", 'use = "image_folder"', f"root = {_text(str(root))}", f"size = {size}"]
    if test_fraction is not None:
        dataset.append(f"test_fraction = {test_fraction}")
    if superclass_level:
        dataset.append("superclass_level = true")
    balancers = [
        ["[[balancer]]", f'use = "{use}"', *options]
        for use, options in BALANCERS
        if all(_is_there(registry, "balancer", needed) for needed in (use, *_bases(options)))
    ]
    metrics = [use for use in METRICS if _is_there(registry, "metric", use)]
    blocks = [
        [
            "schema = 1",
            f"name = {_text(name)}",
            f"title = {_text(f'{name}: what generated images are worth')}",
            f"metrics = {json.dumps(metrics)}",
        ],
        ["[run]", "seeds = [0, 1, 2, 3, 4]"],
        dataset,
        ["# The imbalance is the data's own. The balanced ceiling would be the same images: it is left out."],
        ["[[imbalancer]]", 'use = "none"'],
        ["[[balancer]]", 'use = "none"'],
        *balancers,
        [
            "[[classifier]]",
            'use = "small_cnn"',
            "steps = 1000        # as many in every row: an epoch of a filled set is longer",
        ],
        ["[profile.smoke]", '"run.seeds" = [0]', '"dataset.*.images_per_class" = 20', '"classifier.*.steps" = 10'],
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _bases(options: Sequence[str]) -> list[str]:
    return [line.partition('use = "')[2].partition('"')[0] for line in options if line.startswith("base = ")]


def _is_there(registry: Registry, kind: Kind, use: str) -> bool:
    try:
        registry.find(kind, use)
    except PluginError:
        return False
    return True


def _text(value: str) -> str:
    """Return a TOML string; JSON's are."""
    return json.dumps(value, ensure_ascii=False)
