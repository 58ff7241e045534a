"""Augmentation of 4,950 images of 32x32: the balancer against a loop over PIL images, as the paper's authors wrote it.

    python benchmarks/augmentation_imagegen.py            # a line a round and the medians
    python benchmarks/augmentation_imagegen.py --json     # for programs

Both make the same kind of images from the same 50, in turns, on the CPU; the medians are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms

from balancebench import LabelledImages
from balancebench.testing import synthesis_context
from balancebench_imagegen.augmentation import Augmentation
from balancebench_imagegen.options import AugmentationOptions

KEPT, LARGEST, SIDE = 50, 5000, 32


def training_set() -> LabelledImages:
    """Return 5,000 images of one class and 50 of another."""
    rng = np.random.default_rng(0)
    return LabelledImages(
        images_NCHW=rng.integers(0, 256, (LARGEST + KEPT, 3, SIDE, SIDE), dtype=np.uint8),
        labels_N=np.repeat(np.array([0, 1]), [LARGEST, KEPT]),
        class_names=("other", "cat"),
    )


def batched(train: LabelledImages) -> NDArray[np.uint8]:
    """The balancer, from NumPy to NumPy."""
    with TemporaryDirectory() as folder:
        made = Augmentation(AugmentationOptions(threshold_scale="0..255")).synthesise(
            train, synthesis_context(Path(folder))
        )
    assert made is not None
    return made.images_NCHW


def looped(train: LabelledImages) -> NDArray[np.uint8]:
    """One PIL image after the other, from NumPy to NumPy."""
    transform = transforms.Compose(
        [
            transforms.ColorJitter(brightness=0.5, hue=0.3),
            transforms.RandomPerspective(distortion_scale=0.2, p=1.0, fill=0),
            transforms.RandomRotation(degrees=(0, 180), fill=0),
            transforms.RandomSolarize(threshold=0.75, p=0.5),
        ]
    )
    kept_NHWC = train.images_NCHW[train.labels_N == 1].transpose(0, 2, 3, 1)
    rng = np.random.default_rng(0)
    made = [np.asarray(transform(Image.fromarray(kept_NHWC[rng.integers(KEPT)]))) for _ in range(LARGEST - KEPT)]
    return np.stack(made).transpose(0, 3, 1, 2)


def seconds(make: Callable[[LabelledImages], NDArray[np.uint8]], train: LabelledImages) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    made = make(train)
    duration = time.perf_counter() - start
    assert made.shape == (LARGEST - KEPT, 3, SIDE, SIDE)
    return duration


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    train = training_set()
    batched(train)  # imports and first calls
    rounds = [(seconds(batched, train), seconds(looped, train)) for _ in range(arguments.rounds)]
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    if arguments.json:
        found = {
            "images": LARGEST - KEPT,
            "threads": torch.get_num_threads(),
            "batched_seconds": medians[0],
            "looped_seconds": medians[1],
            "ratio": medians[1] / medians[0],
            "rounds": rounds,
        }
        print(json.dumps(found))
        return
    for ours, loop in rounds:
        print(f"batched {ours:.3f} s   loop over PIL images {loop:.3f} s")
    print(f"median  {medians[0]:.3f} s against {medians[1]:.3f} s: {medians[1] / medians[0]:.1f} times faster")


if __name__ == "__main__":
    main()
