"""Random crops and flips alone: of whole uint8 batches, beside torchvision's transforms of one PIL image at a time."""

from __future__ import annotations

from benchmarks.report import Report, arguments, describe_machine, finish, rates_table
from benchmarks.timing import Contestant, take_turns

PLAIN = "one PIL image at a time"
OURS = "balancebench, uint8 batches"


def main() -> None:
    """Time both on images of 28x28x1 and 32x32x3."""
    parser = arguments(__doc__ or "", rounds=7)
    parser.add_argument("--images", type=int, default=4096, help="images a round")
    parser.add_argument("--batch-size", type=int, default=128, help="images in a batch")
    asked = parser.parse_args()

    import numpy as np
    import torch
    from PIL import Image
    from torchvision import transforms

    from balancebench.training.augment import AUGMENTATIONS

    machine = describe_machine(asked.device)
    augment = AUGMENTATIONS["crop_flip"]
    tables, figures = [], {}
    for channels, size in ((1, 28), (3, 32)):
        shape = (asked.images, size, size) if channels == 1 else (asked.images, size, size, channels)
        pixels_NHWC = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        images = [Image.fromarray(pixels_HWC) for pixels_HWC in pixels_NHWC]
        resident_NCHW = torch.from_numpy(pixels_NHWC.reshape(asked.images, size, size, channels)).permute(0, 3, 1, 2)
        batches = resident_NCHW.contiguous().to(asked.device).split(asked.batch_size)
        generator = torch.Generator(asked.device).manual_seed(0)
        transform = transforms.Compose(
            [transforms.RandomCrop(size, padding=size // 8), transforms.RandomHorizontalFlip()]
        )

        def one_by_one(images: list[Image.Image] = images, transform: transforms.Compose = transform) -> None:
            for image in images:
                transform(image)

        def batched(batches: tuple[torch.Tensor, ...] = batches, generator: torch.Generator = generator) -> None:
            for batch_NCHW in batches:
                augment(batch_NCHW, generator)

        timed = take_turns(
            [Contestant(PLAIN, one_by_one, asked.images), Contestant(OURS, batched, asked.images)],
            rounds=asked.rounds,
            device=asked.device,
        )
        table, found = rates_table(f"crop_flip, {size}x{size}x{channels}", "images/s", timed, [PLAIN])
        tables.append(table)
        figures.update(found)
    settings = {"images a round": asked.images, "batch size": asked.batch_size, "rounds": asked.rounds}
    finish(Report("augmentation", machine, settings, tuple(tables), figures), as_json=asked.json)


if __name__ == "__main__":
    main()
