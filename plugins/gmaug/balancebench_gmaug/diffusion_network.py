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

    def __call__(self, images_BCHW: Tensor, times_B: Tensor, labels_B: Tensor) -> Tensor:
        """Return a prediction of the images' shape. times_B: float32. labels_B: int64, that of none is the last."""
        ...


class LabelledUNet(nn.Module):
    """diffusers' UNet2DModel, told a time and a label; one label more than there are classes stands for none.

    Its last layer begins at zero. It has no buffers, so that its parameters are all that an average has to hold.
    """

    def __init__(self, shape: UNetShape, channels: int, class_count: int, dropout: float | None = None) -> None:
        super().__init__()
        from diffusers.models.unets.unet_2d import UNet2DModel

        self.null_label = class_count
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
        self.unet = unet

    def forward(self, images_BCHW: Tensor, times_B: Tensor, labels_B: Tensor) -> Tensor:
        """Return predictions_BCHW. times_B must be float: the embedding would cut whole numbers off."""
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
