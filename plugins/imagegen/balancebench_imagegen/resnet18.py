"""ResNet-18 as Asthana, Wagle and Singh describe it, and as their code builds it.

    text    3x3 convolution to 64 channels, max-pooling by 2, stages of 64, 128, 256 and 512 channels
    code    3x3 convolution to 42 channels, stages of 42, 84, 168 and 336 channels; every convolution has a bias

Each stage has two residual blocks (He et al. 2016), the first of stages 2 to 4 with stride 2, then average pooling over
what is left of the image. The text's kernel of 4 for that pooling fits the code's 4x4 maps, not its own 2x2 ones.
Axis suffixes: N images, C channels, H rows, W columns, D features.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from balancebench.training.classifier import NetworkClassifier
from balancebench.training.model import PointwiseConv2d
from balancebench_imagegen.options import ResNet18Options

__all__ = ["ResNet18", "resnet18"]

WIDTHS = {"text": 64, "code": 42}


class ResNet18(nn.Module):
    """images_NCHW -> features_ND with D = 8 * width.

    With a linear head for 10 classes of RGB images: 11,173,962 parameters in the text's form, 4,819,090 in the code's.
    """

    def __init__(self, channels: int, *, variant: Literal["text", "code"], width: int | None) -> None:
        super().__init__()
        bias, first = variant == "code", width or WIDTHS[variant]
        self.stem = nn.Sequential(
            nn.Conv2d(channels, first, 3, padding=1, bias=bias), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        # Rounded up, so that an image of one pixel is still one.
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if variant == "text" else nn.Identity()
        self.stages = nn.Sequential(
            _Block(first, first, 1, bias),
            _Block(first, first, 1, bias),
            _Block(first, 2 * first, 2, bias),
            _Block(2 * first, 2 * first, 1, bias),
            _Block(2 * first, 4 * first, 2, bias),
            _Block(4 * first, 4 * first, 1, bias),
            _Block(4 * first, 8 * first, 2, bias),
            _Block(8 * first, 8 * first, 1, bias),
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return features_ND."""
        return self.stages(self.pool(self.stem(images_NCHW))).mean((2, 3))


class _Block(nn.Module):
    """relu(shortcut(x) + bn(conv(relu(bn(conv(x)))))), with a 1x1 projection where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, bias: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=bias),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )
        self.second = nn.Sequential(
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=bias), nn.BatchNorm2d(channels_out)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                PointwiseConv2d(channels_in, channels_out, stride, bias=bias), nn.BatchNorm2d(channels_out)
            )

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        return F.relu(self.shortcut(maps_NCHW) + self.second(self.first(maps_NCHW)), inplace=True)


def resnet18(options: ResNet18Options) -> NetworkClassifier:
    """Return the classifier that trains this network."""
    return NetworkClassifier(
        lambda channels, _image_size: ResNet18(channels, variant=options.variant, width=options.width), options
    )
