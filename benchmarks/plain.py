"""A classifier's training loop as researchers write it, to be compared with.

A torchvision-style data set that hands out one PIL image at a time, torchvision's transforms, a DataLoader, float32 in
torch's usual order of channels, and the loss read at every step. Nothing of it is slow on purpose.

Axis suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from balancebench.data import LabelledImages
from balancebench.training.options import ChannelStatistics, TrainingOptions

__all__ = ["ImageDataset", "make_loader", "make_sgd", "make_transform", "train_epoch"]


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """One (transformed image, label) at a time, as torchvision's MNIST and CIFAR10 hand them out."""

    def __init__(self, images: LabelledImages, transform: Callable[[Image.Image], Tensor]) -> None:
        grey = images.images_NCHW.shape[1] == 1
        self.data: NDArray[np.uint8] = (
            images.images_NCHW[:, 0] if grey else np.ascontiguousarray(images.images_NCHW.transpose(0, 2, 3, 1))
        )
        self.targets: list[int] = images.labels_N.tolist()
        self.transform = transform

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]

    def __len__(self) -> int:
        return len(self.targets)


def make_transform(
    augmentation: str, statistics: ChannelStatistics, image_size: tuple[int, int]
) -> Callable[[Image.Image], Tensor]:
    """Return torchvision's transform for the augmentation ("none", "crop", "crop_flip") and normalisation given."""
    padding = (image_size[1] // 8, image_size[0] // 8)
    steps: list[Callable[..., object]] = []
    if augmentation in ("crop", "crop_flip"):
        steps.append(transforms.RandomCrop(image_size, padding=padding))
    if augmentation == "crop_flip":
        steps.append(transforms.RandomHorizontalFlip())
    normalise = transforms.Normalize(statistics.mean, statistics.std)
    return transforms.Compose([*steps, transforms.ToTensor(), normalise])


def make_loader(
    dataset: Dataset[tuple[Tensor, int]],
    batch_size: int,
    *,
    workers: int,
    device: str,
    order: Sequence[int] | None = None,
) -> DataLoader[tuple[Tensor, int]]:
    """Return a loader that shuffles, or goes by `order`.

    Workers persist from epoch to epoch: in a real epoch, a hundred times as long, their start would hardly count.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        shuffle=order is None,
        sampler=order,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.startswith("cuda"),
    )


def make_sgd(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """Return SGD as torch makes it when asked for nothing else."""
    return torch.optim.SGD(
        model.parameters(), lr=options.learning_rate, momentum=options.momentum, weight_decay=options.weight_decay
    )


def train_epoch(
    model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], optimiser: torch.optim.Optimizer, device: str
) -> list[float]:
    """Train over the loader's batches; return the loss of each step."""
    criterion = nn.CrossEntropyLoss()
    losses: list[float] = []
    model.train()
    for images_NCHW, labels_N in loader:
        images_NCHW, labels_N = images_NCHW.to(device), labels_N.to(device)  # noqa: PLW2901 - as it is usually written
        optimiser.zero_grad()
        logits_NK = model(images_NCHW)
        loss = criterion(logits_NK, labels_N)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses
