"""An image folder of 128x128 JPEGs, decoded once and trained on from blocks, beside the same set held in memory.

Every measurement is a process of its own, so that its peak memory is its own. The network is one cheap convolution:
what is timed is the way of the images. Resident and streamed training must end in the same loss, bit for bit.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.report import Report, Table, arguments, describe_machine, figure, finish
from benchmarks.timing import median

SIDE, CLASSES, TEST_IMAGES = 128, 8, 64
IMAGE_BYTES = 3 * SIDE * SIDE
DIFFERENT = 256  # JPEG files of different content, written again and again
MIB = 2**20


def main() -> None:
    """Measure every size: one load, then trainings in turn."""
    parser = arguments(__doc__ or "", rounds=2)
    parser.add_argument("--images", type=int, nargs="+", default=[2_000, 8_000, 32_000], help="training images")
    parser.add_argument("--epochs", type=int, default=2, help="epochs of each, 2 and more; the first does not count")
    parser.add_argument("--block-mib", type=int, default=64, help="MiB of a block of the streamed training, at most")
    parser.add_argument("--measure", choices=("load", "train"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--streamed", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure == "load":
        print(json.dumps(load(asked.folder)))
    elif asked.measure == "train":
        block_bytes = asked.block_mib * MIB if asked.streamed else None
        print(json.dumps(train(asked.folder, asked.device, asked.epochs, block_bytes)))
    else:
        compare(asked)


def compare(asked: argparse.Namespace) -> None:
    machine = describe_machine(asked.device)
    figures: dict[str, Any] = {}
    for count in asked.images:
        with TemporaryDirectory(prefix="balancebench-large-") as name:
            folder = Path(name)
            generate(folder / "images", count)
            loaded = measured(asked, "load", folder)
            trained: dict[str, list[dict[str, Any]]] = {"resident": [], "streamed": []}
            for number in range(asked.rounds):
                for way in sorted(trained, reverse=number % 2 == 1):
                    trained[way].append(
                        measured(asked, "train", folder, *(["--streamed"] if way == "streamed" else []))
                    )
            losses = {run["loss"] for runs in trained.values() for run in runs}
            if len(losses) > 1:
                raise SystemExit(f"resident and streamed training differ: {sorted(losses)}")
            figures[str(count)] = {"load": loaded, **trained}
    settings = {"block MiB": asked.block_mib, "epochs": asked.epochs, "rounds": asked.rounds}
    finish(Report("large_images", machine, settings, tables(figures), figures), as_json=asked.json)


def tables(figures: Mapping[str, Any]) -> tuple[Table, ...]:
    loads, trainings = [], []
    for count, of_count in figures.items():
        size = f"{int(count):,}"
        megabytes = figure(int(count) * IMAGE_BYTES / MIB)
        loaded = of_count["load"]
        images = int(count) + TEST_IMAGES
        shown = (images / loaded["seconds"], loaded["cpu_seconds"] / images * 1e6, loaded["peak_bytes"] / MIB)
        loads.append((size, megabytes, *map(figure, shown)))
        for way in ("resident", "streamed"):
            middle = {name: median([run[name] for run in of_count[way]]) for name in of_count[way][0]}
            shown = (
                middle["images_per_second"],
                middle["cpu_seconds_per_image"] * 1e6,
                middle["start_seconds"],
                middle["peak_bytes"] / MIB,
            )
            trainings.append((f"{size} {way}", megabytes, *map(figure, shown)))
    return (
        Table(
            "load, once", ("images", "MiB", "images/s", "CPU microseconds an image", "peak growth MiB"), tuple(loads)
        ),
        Table(
            "training",
            ("images", "MiB", "images/s", "CPU microseconds an image", "start seconds", "peak growth MiB"),
            tuple(trainings),
            "CPU microseconds are those of all threads, and hardly depend on what else the machine does. Start: until "
            "the first epoch begins, pixel statistics included. Peak growth: of the process's memory, mapped pages "
            "included, over what it took before the images; of the CUDA device where that trains.",
        ),
    )


def generate(root: Path, count: int) -> None:
    """Write train/CLASS and test/CLASS folders of JPEGs: soft noise, as large on disk as photographs of that size."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    files = []
    for _ in range(DIFFERENT):
        coarse = Image.fromarray(rng.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8))
        encoded = io.BytesIO()
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(encoded, "JPEG", quality=90)
        files.append(encoded.getvalue())
    for split, images in (("train", count), ("test", TEST_IMAGES)):
        for label in range(CLASSES):
            (root / split / f"class{label}").mkdir(parents=True)
        for index in range(images):
            path = root / split / f"class{index % CLASSES}" / f"{index:07d}.jpg"
            path.write_bytes(files[rng.integers(DIFFERENT)])


def measured(asked: argparse.Namespace, what: str, folder: Path, *more: str) -> dict[str, Any]:
    """Run one measurement in a fresh process."""
    settings = ["--device", asked.device, "--epochs", str(asked.epochs), "--block-mib", str(asked.block_mib)]
    command = [sys.executable, "-m", "benchmarks.large_images", "--measure", what, "--folder", str(folder)]
    ran = subprocess.run([*command, *settings, *more], stdout=subprocess.PIPE, text=True, check=True)
    measurement = json.loads(ran.stdout)
    print(f"{what} {' '.join(more)}: {measurement}", file=sys.stderr, flush=True)
    return measurement


def load(folder: Path) -> dict[str, Any]:
    """Decode the folder and write the arrays, as the stage `load` does."""
    from balancebench import large_images
    from balancebench.artefacts.splits import write_splits
    from balancebench.builtin.datasets.image_folder import ImageFolder
    from balancebench.builtin.datasets.options import ImageFolderOptions
    from balancebench.contracts import LoadContext
    from balancebench.stages.memory import peak_memory_bytes, reset_peak_memory

    large_images.LARGE_BYTES = 1  # so that small sizes go the way of large ones
    (folder / "arrays").mkdir()
    (folder / "scratch").mkdir()
    dataset = ImageFolder(ImageFolderOptions.model_validate({"root": str(folder / "images")}))
    context = LoadContext(
        data_root=folder,
        scratch=folder / "scratch",
        progress=lambda _done, _total, _message="": None,
        logger=logging.getLogger("benchmark"),
    )
    reset_peak_memory("cpu")
    before = peak_memory_bytes("cpu")
    begin, cpu_begin = time.perf_counter(), time.process_time()
    write_splits(dataset.load(context), folder / "arrays", folder / "arrays")
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu_begin,
        "peak_bytes": peak_memory_bytes("cpu") - before,
    }


def train(folder: Path, device: str, epochs: int, block_bytes: int | None) -> dict[str, Any]:
    """Train on the arrays; block_bytes: None holds all images on the device."""
    import numpy as np
    from torch import nn

    from balancebench import LabelledImages, large_images
    from balancebench.stages.memory import peak_memory_bytes, reset_peak_memory
    from balancebench.training import loop
    from balancebench.training.classifier import NetworkClassifier
    from balancebench.training.options import TrainingOptions
    from balancebench.training_plan import Phase, TrainingPlan
    from benchmarks.training import fit_context

    large_images.LARGE_BYTES = 1  # so that small sizes go the way of large ones
    ends: list[float] = []
    cpu_ends: list[float] = []
    losses: list[float] = []

    def epoch_finished(_epoch: int, values: Mapping[str, float]) -> None:
        ends.append(time.perf_counter())
        cpu_ends.append(time.process_time())
        losses.append(values["loss"])

    def backbone(channels: int, _size: tuple[int, int]) -> nn.Module:
        return nn.Sequential(nn.Conv2d(channels, 8, 8, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())

    train_images = LabelledImages(
        images_NCHW=np.load(folder / "arrays" / "train_images.npy", mmap_mode="r"),
        labels_N=np.load(folder / "arrays" / "train_labels.npy"),
        class_names=tuple(f"class {label}" for label in range(CLASSES)),
    )
    kept = train_images.take(np.arange(len(train_images)))
    size = kept.images_NCHW.nbytes
    budget_bytes = size if block_bytes is None else min(size - 1, block_bytes * loop.BLOCKS_IN_BUDGET)
    loop.image_budget_bytes = lambda _device: budget_bytes
    context = fit_context(device, "fp32", deterministic=False, epoch_finished=epoch_finished)

    def fit(images: Any, passes: int) -> None:
        plan = TrainingPlan(phases=(Phase(images=images),))
        NetworkClassifier(backbone, TrainingOptions(epochs=passes, learning_rate=0.01)).fit(plan, context)

    fit(kept.take(np.arange(256)), 1)  # what a first use loads is not the images'
    ends.clear()
    cpu_ends.clear()
    losses.clear()
    reset_peak_memory(device)
    before = peak_memory_bytes(device)
    begin = time.perf_counter()
    fit(kept, epochs)
    epoch_seconds = np.diff([begin, *ends])
    later = epoch_seconds[1:]
    epoch_images = len(kept) // 128 * 128
    return {
        "images_per_second": epoch_images / float(np.median(later)),
        "cpu_seconds_per_image": float(np.median(np.diff(cpu_ends))) / epoch_images,
        "start_seconds": float(epoch_seconds[0] - np.median(later)),
        "peak_bytes": peak_memory_bytes(device) - before,
        "loss": losses[-1],
    }


if __name__ == "__main__":
    main()
