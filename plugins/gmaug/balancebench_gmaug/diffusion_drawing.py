"""What drawing has in common for all diffusion models: noise of each image's own, classes, sizes, and files.

Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Generator, Tensor

from balancebench import BalancerError, LabelledImages, SynthesisContext
from balancebench.synthesis.seeded_run import from_unit_range, load_weights, save_weights
from balancebench.training.reproducibility import seeded_globals
from balancebench_gmaug.diffusion_network import LabelledUNet, cropped, memory_layout, padded_size
from balancebench_gmaug.diffusion_options import UNetShape, shape_of

__all__ = [
    "DiffusionGenerator",
    "Learnt",
    "NoiseStreams",
    "Sampler",
    "check_classes",
    "restored_network",
    "with_guidance",
]

FACTS, WEIGHTS = "generator.json", "generator"
PIXELS_AT_ONCE = 2**20  # of the images that are drawn together: 1,024 of 32x32, 64 of 128x128


class Learnt(BaseModel):
    """What a trained diffusion model has to know besides its weights.

    pixel_deviation: of the pixels in -1..1 that it was trained on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    precision: Literal["fp32", "bf16"]
    pixel_deviation: float

    @classmethod
    def of(cls, train: LabelledImages, context: SynthesisContext, *, pixel_deviation: float = 1.0) -> Learnt:
        """Return the facts of a training on `train`."""
        _, channels, rows, columns = train.images_NCHW.shape
        return cls(
            image_shape=(channels, rows, columns),
            class_names=tuple(train.class_names),
            precision=context.precision,
            pixel_deviation=pixel_deviation,
        )

    def save(self, folder: Path, network: LabelledUNet) -> None:
        """Write the facts and the network's weights."""
        save_weights(folder, WEIGHTS, network)
        (folder / FACTS).write_text(self.model_dump_json(), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Learnt:
        """Read back what `save` wrote."""
        return cls.model_validate_json((folder / FACTS).read_bytes())


def check_classes(train: LabelledImages) -> None:
    """Raise BalancerError where a class has no image to learn from: before the training, whatever is drawn after it."""
    for name, count in zip(train.class_names, train.counts_K, strict=True):
        if count == 0:
            raise BalancerError(
                f"class {name!r} has no images for a diffusion model to learn from: keep at least 1 of it, or leave "
                "the class out of the data set"
            )


def restored_network(
    folder: Path, learnt: Learnt, preset: str, device: torch.device, *, augmentation_labels: int = 0
) -> tuple[LabelledUNet, UNetShape]:
    """Return the trained network in evaluation mode, and its shape."""
    channels, rows, columns = learnt.image_shape
    shape = shape_of(preset, rows, columns)
    with seeded_globals(0, device):  # the weights drawn here are overwritten
        network = LabelledUNet(shape, channels, len(learnt.class_names), augmentation_labels=augmentation_labels)
    load_weights(folder, WEIGHTS, network)
    network.to(device).to(memory_format=memory_layout(device))  # pyright: ignore[reportCallIssue]
    return network.eval().requires_grad_(False), shape


class NoiseStreams:
    """Normal noise for images, each from a generator of its own: an image's noise does not depend on its batch.

    The streams run on the CPU, and give the same noise for every device.
    """

    def __init__(self, streams: Sequence[Generator], device: torch.device) -> None:
        self._streams = streams
        self._device = device

    @classmethod
    def seeded(cls, count: int, random: Generator) -> NoiseStreams:
        """Return `count` streams. random: gives their seeds one by one: the same for 8 images as for twice 4."""
        seeds = [torch.randint(2**62, (1,), generator=random, device=random.device) for _ in range(count)]
        return cls([Generator().manual_seed(seed) for seed in torch.cat(seeds).tolist()], random.device)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Return the next noise_BCHW of the streams on the device. shape: (C, H, W).

        float64, which the small steps of samplers at little noise need, where the device has it.
        """
        noise_BCHW = torch.stack([torch.randn(tuple(shape), generator=stream) for stream in self._streams])
        return noise_BCHW.to(self._device).to(torch.float32 if self._device.type == "mps" else torch.float64)

    def parts(self, size: int) -> list[NoiseStreams]:
        """Return the streams in order, at most `size` together."""
        begins = range(0, len(self._streams), size)
        return [NoiseStreams(self._streams[begin : begin + size], self._device) for begin in begins]


def with_guidance(
    predict: Callable[[Tensor, Tensor], Tensor], images_BCHW: Tensor, labels_B: Tensor, null_label: int, scale: float
) -> Tensor:
    """Return none + scale (class - none) of what is predicted for the labels and for none of them.

    predict(images_BCHW, labels_B) -> predictions_BCHW. One pass where scale is 1, one of twice the images where not.
    """
    if scale == 1:
        return predict(images_BCHW, labels_B)
    none_B = torch.full_like(labels_B, null_label)
    both = predict(torch.cat([images_BCHW, images_BCHW]), torch.cat([labels_B, none_B]))
    of_class_BCHW, of_none_BCHW = both.chunk(2)
    return of_none_BCHW + scale * (of_class_BCHW - of_none_BCHW)


class Sampler(Protocol):
    """Makes images from noise."""

    def __call__(self, labels_B: Tensor, noise: NoiseStreams, shape: tuple[int, int, int]) -> Tensor:
        """Return images_BCHW in -1..1 of shape (C, H, W), one of each label."""
        ...


class DiffusionGenerator:
    """A trained diffusion model. sampler: makes images of the padded size. divisor: what that is a multiple of."""

    def __init__(self, learnt: Learnt, sampler: Sampler, divisor: int) -> None:
        self._learnt = learnt
        self._sampler = sampler
        self._divisor = divisor

    def draw(self, labels_B: NDArray[np.int64], random: Generator) -> NDArray[np.uint8]:
        """Return images_BCHW, one of each label: every class was learnt."""
        if len(labels_B) == 0:
            return np.empty((0, *self._learnt.image_shape), dtype=np.uint8)
        channels, *size = self._learnt.image_shape
        rows, columns = padded_size((size[0], size[1]), self._divisor)
        at_once = max(1, PIXELS_AT_ONCE // (rows * columns))
        images: list[Tensor] = []
        labels = torch.from_numpy(labels_B).to(random.device).split(at_once)
        for part_B, noise in zip(labels, NoiseStreams.seeded(len(labels_B), random).parts(at_once), strict=True):
            with torch.no_grad():
                generated_BCHW = self._sampler(part_B, noise, (channels, rows, columns))
            images.append(from_unit_range(cropped(generated_BCHW, (size[0], size[1]))).cpu())
        return torch.cat(images).numpy()
