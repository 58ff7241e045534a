"""Augmentation of 4,950 images of 32x32: the balancer against a loop over PIL images, as the paper's authors wrote it.

Both make the same kind of images from the same 50, in turns, on the CPU.
"""

from __future__ import annotations

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
from benchmarks.report import Report, arguments, describe_machine, finish, rates_table
from benchmarks.timing import Contestant, take_turns

PLAIN = "loop over PIL images"
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
        synthetic = Augmentation(AugmentationOptions(threshold_scale="0..255")).synthesise(
            train, synthesis_context(Path(folder))
        )
    assert synthetic is not None
    return synthetic.images_NCHW


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
    augmented = [np.asarray(transform(Image.fromarray(kept_NHWC[rng.integers(KEPT)]))) for _ in range(LARGEST - KEPT)]
    return np.stack(augmented).transpose(0, 3, 1, 2)


def main() -> None:
    """Time both, in turns."""
    parser = arguments(__doc__ or "", rounds=7, devices=("cpu",))
    asked = parser.parse_args()
    machine = describe_machine()
    train = training_set()

    def contestant(name: str, make: Callable[[LabelledImages], NDArray[np.uint8]]) -> Contestant:
        def work() -> None:
            assert make(train).shape == (LARGEST - KEPT, 3, SIDE, SIDE)

        return Contestant(name, work, LARGEST - KEPT)

    timed = take_turns([contestant(PLAIN, looped), contestant("balancebench", batched)], rounds=asked.rounds)
    table, figures = rates_table("augmentation of the image-generation paper, 32x32x3", "images/s", timed, [PLAIN])
    settings = {"images a round": LARGEST - KEPT, "threads": torch.get_num_threads(), "rounds": asked.rounds}
    finish(Report("augmentation_imagegen", machine, settings, (table,), figures), as_json=asked.json)


if __name__ == "__main__":
    main()
