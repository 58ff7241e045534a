"""Random crops and flips: of whole uint8 batches, beside torchvision's transforms of one PIL image at a time.

Twice: from stored pixels to the normalised batch that a network is fed, and the crops and flips by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.report import Report, Table, arguments, describe_machine, finish, rates_table
from benchmarks.timing import Contestant, take_turns

if TYPE_CHECKING:
    from argparse import Namespace

PLAIN = "one PIL image at a time"
OURS = "balancebench, uint8 batches"


def main() -> None:
    """Time both on images of 28x28x1 and 32x32x3."""
    parser = arguments(__doc__ or "", rounds=7)
    parser.add_argument("--images", type=int, default=4096, help="images a round")
    parser.add_argument("--batch-size", type=int, default=128, help="images in a batch")
    asked = parser.parse_args()
    machine = describe_machine(asked.device)
    tables: list[Table] = []
    figures: dict[str, Any] = {}
    for channels, size in ((1, 28), (3, 32)):
        for table, table_figures in (to_batches(asked, channels, size), crops_and_flips(asked, channels, size)):
            tables.append(table)
            figures.update(table_figures)
    settings = {"images a round": asked.images, "batch size": asked.batch_size, "rounds": asked.rounds}
    finish(Report("augmentation", machine, settings, tuple(tables), figures), as_json=asked.json)


def to_batches(asked: Namespace, channels: int, size: int) -> tuple[Table, dict[str, Any]]:
    """Time the way from stored pixels to normalised batches, in this process."""
    import torch

    from balancebench.training.augment import AUGMENTATIONS
    from balancebench.training.normalise import make_normaliser
    from balancebench.training.options import ChannelStatistics
    from balancebench.training.resident import BatchDrawer, ResidentImages
    from benchmarks.plain import ImageDataset, make_loader, make_transform
    from benchmarks.training import synthetic_images

    images = synthetic_images(asked.images, (channels, size, size))
    half = ChannelStatistics(mean=(0.5,) * channels, std=(0.5,) * channels)
    dataset = ImageDataset(images, make_transform("crop_flip", half, (size, size)))
    loader = make_loader(dataset, asked.batch_size, workers=0, device=asked.device)
    resident = ResidentImages.upload(images, torch.device(asked.device))
    normaliser = make_normaliser("half", resident.images_NCHW)
    generator = torch.Generator(asked.device).manual_seed(0)
    drawer = BatchDrawer(resident, AUGMENTATIONS["crop_flip"], normaliser, generator)
    steps = asked.images // asked.batch_size

    def one_by_one() -> None:
        for images_NCHW, _labels_N in loader:
            images_NCHW.to(asked.device)

    def batched() -> None:
        for indices_B in drawer.epoch_indices(steps, asked.batch_size):
            drawer.batch(indices_B)

    drawn = steps * asked.batch_size
    contestants = [Contestant(PLAIN, one_by_one, drawn), Contestant(OURS, batched, drawn)]
    timed = take_turns(contestants, rounds=asked.rounds, device=asked.device)
    return rates_table(f"crop_flip to normalised batches, {size}x{size}x{channels}", "images/s", timed, [PLAIN])


def crops_and_flips(asked: Namespace, channels: int, size: int) -> tuple[Table, dict[str, Any]]:
    """Time crops and flips alone, of pixels in whatever form each side has them."""
    import torch
    from PIL import Image
    from torchvision import transforms

    from balancebench.training.augment import AUGMENTATIONS
    from benchmarks.training import synthetic_images

    images_NCHW = synthetic_images(asked.images, (channels, size, size)).images_NCHW
    pictures = [Image.fromarray(chw[0] if channels == 1 else chw.transpose(1, 2, 0)) for chw in images_NCHW]
    crop = transforms.RandomCrop(size, padding=size // 8)
    transform = transforms.Compose([crop, transforms.RandomHorizontalFlip()])
    batches = torch.from_numpy(images_NCHW).to(asked.device).split(asked.batch_size)
    generator = torch.Generator(asked.device).manual_seed(0)
    augment = AUGMENTATIONS["crop_flip"]

    def one_by_one() -> None:
        for picture in pictures:
            transform(picture)

    def batched() -> None:
        for batch_NCHW in batches:
            augment(batch_NCHW, generator)

    contestants = [Contestant(PLAIN, one_by_one, asked.images), Contestant(OURS, batched, asked.images)]
    timed = take_turns(contestants, rounds=asked.rounds, device=asked.device)
    return rates_table(f"crop_flip by itself, {size}x{size}x{channels}", "images/s", timed, [PLAIN])


if __name__ == "__main__":
    main()
