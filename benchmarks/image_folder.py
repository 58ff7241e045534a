"""Reading a folder of JPEGs: decoded and resized once into one array, beside a DataLoader that decodes every epoch."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import Report, Table, arguments, describe_machine, figure, finish, rates_table
from benchmarks.timing import Contestant, Timed, median, take_turns

CLASSES = 10
PLAIN = "DataLoader, {} workers, one epoch"
DECODE = "balancebench, decode once"
READ = "balancebench, one epoch of batches"


def write_folder(root: Path, images: int, width: int, height: int) -> None:
    """Write photograph-like JPEGs to ROOT/CLASS: smooth fields of colour with some noise, from a fixed seed."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(images):
        coarse_HWC = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse_HWC).resize((width, height), Image.Resampling.BICUBIC)
        noisy_HWC = np.asarray(smooth) + rng.normal(0, 8, (height, width, 3))
        folder = root / f"class_{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy_HWC.clip(0, 255).astype(np.uint8)).save(folder / f"{number:06}.jpg", quality=90)


def main() -> None:
    """Time the decoding, an epoch of batches from the decoded array, and epochs of a DataLoader."""
    parser = arguments(__doc__ or "", rounds=3, devices=("cpu",))
    parser.add_argument("--images", type=int, default=1000, help="JPEGs in the folder")
    parser.add_argument("--width", type=int, default=500, help="columns of a JPEG")
    parser.add_argument("--height", type=int, default=375, help="rows of a JPEG")
    parser.add_argument("--size", type=int, default=128, help="rows and columns to train at")
    parser.add_argument("--batch-size", type=int, default=64, help="images in a batch")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="DataLoader workers of the plain loop")
    asked = parser.parse_args()

    import torch
    from torchvision import datasets, transforms

    from balancebench.builtin.datasets.image_folder import ImageFolder
    from balancebench.builtin.datasets.options import ImageFolderOptions
    from balancebench.contracts import LoadContext
    from balancebench.training.augment import AUGMENTATIONS
    from balancebench.training.normalise import make_normaliser
    from balancebench.training.resident import BatchDrawer, ResidentImages
    from benchmarks.plain import make_loader

    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="balancebench-images-") as folder_name:
        root, scratch = Path(folder_name) / "images", Path(folder_name) / "scratch"
        write_folder(root, asked.images, asked.width, asked.height)
        scratch.mkdir()
        context = LoadContext(
            data_root=Path(folder_name),
            scratch=scratch,
            progress=lambda _done, _total, _message="": None,
            logger=logging.getLogger("benchmarks"),
        )
        options = ImageFolderOptions(root=root, size=asked.size, test_fraction=0.1)

        def decode() -> None:
            ImageFolder(options).load(context)
            shutil.rmtree(scratch)
            scratch.mkdir()

        train = ImageFolder(options).load(context).train
        # The array stays mapped; `decode` may then delete its file.
        resident = ResidentImages.upload(train, torch.device("cpu"))
        drawer = BatchDrawer(
            resident,
            AUGMENTATIONS["none"],
            make_normaliser("half", resident.images_NCHW),
            torch.Generator().manual_seed(0),
        )

        def read() -> None:
            for indices_B in drawer.epoch_indices(len(train) // asked.batch_size, asked.batch_size):
                drawer.batch(indices_B)

        transform = transforms.Compose(
            [
                transforms.Resize((asked.size, asked.size)),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.5,) * 3),
            ]
        )
        folder = datasets.ImageFolder(root, transform)

        def plain(workers: int) -> Contestant:
            loader = make_loader(folder, asked.batch_size, workers=workers, device="cpu")

            def epoch() -> None:
                for images_NCHW, _labels_N in loader:
                    images_NCHW.sum()

            return Contestant(PLAIN.format(workers), epoch, asked.images // asked.batch_size * asked.batch_size)

        timed = take_turns(
            [
                *(plain(workers) for workers in asked.workers),
                Contestant(DECODE, decode, asked.images),
                Contestant(READ, read, len(train) // asked.batch_size * asked.batch_size),
            ],
            rounds=asked.rounds,
        )
    tables, figures = tables_of(timed, [PLAIN.format(workers) for workers in asked.workers])
    settings = {
        "images": asked.images,
        "of": f"{asked.width}x{asked.height}",
        "to": f"{asked.size}x{asked.size}",
        "rounds": asked.rounds,
    }
    finish(Report("image_folder", machine, settings, tables, figures), as_json=asked.json)


def tables_of(timed: Sequence[Timed], baselines: Sequence[str]) -> tuple[tuple[Table, ...], dict[str, Any]]:
    """Return the table of rates and the one that says from which epoch on decoding once pays, and the figures."""
    rates, figures = rates_table("Images read", "images/s", timed, baselines)
    seconds = {row.name: 1 / median(row.rates) for row in timed}
    rows: list[tuple[str, ...]] = []
    for name in baselines:
        pays = seconds[DECODE] / (seconds[name] - seconds[READ])
        rows.append(
            (
                name.removesuffix(", one epoch"),
                figure(pays),
                figure(seconds[name] / (seconds[DECODE] / 100 + seconds[READ])),
            )
        )
    header = ("compared with", "epochs after which decoding once pays", "times as fast over 100 epochs")
    return (rates, Table("When decoding once pays", header, tuple(rows))), figures


if __name__ == "__main__":
    main()
