"""The U-Net of all diffusion balancers, and how images of any size fit into it.

Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balancebench_gmaug.diffusion_options import UNetShape

__all__ = ["LabelledUNet", "Network", "cropped", "memory_layout", "padded", "padded_size"]


class Network(Protocol):
    """What a diffusion model calls: a `LabelledUNet`, or it compiled."""

    def __call__(
        self, images_BCHW: Tensor, times_B: Tensor, labels_B: Tensor, augmentation_BL: Tensor | None = None
    ) -> Tensor:
        """Return a prediction of the images' shape. times_B: float32. labels_B: int64, that of none is the last.

        augmentation_BL: what was changed of the images, float32; None: nothing.
        """
        ...


class _LabelAndChanges(nn.Module):
    """The embedding of a class, and a linear map of what was changed of the image added to it.

    Both come in one float32 tensor (B, 1 + L), the class first: diffusers hands one tensor on.
    """

    def __init__(self, classes: nn.Embedding, augmentation_labels: int) -> None:
        super().__init__()
        self.classes = classes
        self.augmentation = nn.Linear(augmentation_labels, classes.embedding_dim, bias=False)

    def forward(self, label_and_changes: Tensor) -> Tensor:
        """Return what is added to the embedding of the time."""
        return self.classes(label_and_changes[:, 0].long()) + self.augmentation(label_and_changes[:, 1:])


class LabelledUNet(nn.Module):
    """diffusers' UNet2DModel, told a time and a label; one label more than there are classes stands for none.

    augmentation_labels: numbers that it is told of what was changed of an image; 0: it knows of no changes.
    Its last layer begins at zero. It has no buffers, so that its parameters are all that an average has to hold.
    """

    def __init__(
        self,
        shape: UNetShape,
        channels: int,
        class_count: int,
        dropout: float | None = None,
        *,
        augmentation_labels: int = 0,
    ) -> None:
        super().__init__()
        from diffusers.models.unets.unet_2d import UNet2DModel

        self.null_label = class_count
        self.augmentation_labels = augmentation_labels
        kinds = ["Attn" if has_attention else "" for has_attention in shape.attention]
        unet: Any = UNet2DModel(
            in_channels=channels,
            out_channels=channels,
            block_out_channels=shape.channels,
            layers_per_block=shape.layers,
            down_block_types=tuple(f"{kind}DownBlock2D" for kind in kinds),
            up_block_types=tuple(f"{kind}UpBlock2D" for kind in reversed(kinds)),
            norm_num_groups=shape.groups,
            attention_head_dim=shape.head_size,  # pyright: ignore[reportArgumentType] - None is one head
            resnet_time_scale_shift="scale_shift" if shape.scale_shift else "default",
            dropout=shape.dropout if dropout is None else dropout,
            num_class_embeds=class_count + 1,
            time_embedding_type="positional",  # "fourier" would divide what the network returns by the time
        )
        nn.init.zeros_(unet.conv_out.weight)
        nn.init.zeros_(unet.conv_out.bias)
        if augmentation_labels:
            unet.class_embedding = _LabelAndChanges(unet.class_embedding, augmentation_labels)
        self.unet = unet

    def forward(
        self, images_BCHW: Tensor, times_B: Tensor, labels_B: Tensor, augmentation_BL: Tensor | None = None
    ) -> Tensor:
        """Return predictions_BCHW. times_B must be float: the embedding would cut whole numbers off."""
        if self.augmentation_labels:
            if augmentation_BL is None:
                augmentation_BL = images_BCHW.new_zeros(len(labels_B), self.augmentation_labels)
            labels_B = torch.cat([labels_B[:, None].float(), augmentation_BL], dim=1)
        return self.unet(images_BCHW, times_B, labels_B, return_dict=False)[0]


def padded_size(size: tuple[int, int], divisor: int) -> tuple[int, int]:
    """Return rows and columns rounded up to multiples of `divisor`."""
    return -(-size[0] // divisor) * divisor, -(-size[1] // divisor) * divisor


def padded(images_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Return float images with their borders repeated outwards to `size` (rows, columns), the image in the middle."""
    rows, columns = size[0] - images_BCHW.shape[2], size[1] - images_BCHW.shape[3]
    if rows == 0 and columns == 0:
        return images_BCHW
    sides = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    return F.pad(images_BCHW, sides, mode="replicate")


def cropped(images_BCHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Undo `padded`: return the middle of `size` (rows, columns)."""
    top, left = (images_BCHW.shape[2] - size[0]) // 2, (images_BCHW.shape[3] - size[1]) // 2
    return images_BCHW[:, :, top : top + size[0], left : left + size[1]]


def memory_layout(device: torch.device) -> torch.memory_format:
    """Return the order of axes in which convolutions are fastest: measured on CPUs with and without bf16."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format
