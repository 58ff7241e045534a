"""The residual networks of the CIFAR benchmarks.

He, Zhang, Ren and Sun 2016, "Deep Residual Learning for Image Recognition", CVPR.
Axis suffixes: N images, C channels, H rows, W columns, D features.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from balancebench.builtin.classifiers.options import ResNet18CifarOptions, ResNetCifarOptions
from balancebench.training.classifier import NetworkClassifier
from balancebench.training.model import PointwiseConv2d

__all__ = ["ResNet18Cifar", "ResNetCifar", "resnet18_cifar", "resnet_cifar"]

Shortcut = Literal["pad", "project"]


def resnet_cifar(options: ResNetCifarOptions) -> NetworkClassifier:
    """Return the classifier `resnet_cifar`."""
    return NetworkClassifier(lambda channels, _image_size: ResNetCifar(channels, depth=options.depth), options)


def resnet18_cifar(options: ResNet18CifarOptions) -> NetworkClassifier:
    """Return the classifier `resnet18_cifar`."""
    return NetworkClassifier(lambda channels, _image_size: ResNet18Cifar(channels, width=options.width), options)


class ResNetCifar(nn.Module):
    """images_NCHW -> features_ND with D = 64: the network of section 4.2, of 6n + 2 layers.

    A 3x3 convolution to 16 channels, three stages of n blocks with 16, 32 and 64 channels, the second and third
    halving rows and columns, and global average pooling. Shortcuts have no parameters (option A): where channels
    grow they are subsampled and padded with zeros. With a linear head for 10 classes of RGB images: 0.27 M
    parameters at depth 20 (table 6), 464,154 at depth 32.
    """

    def __init__(self, channels: int, *, depth: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.stem = _stem(channels, 16)
        self.stages = nn.Sequential(
            _stage(16, 16, blocks, stride=1, shortcut="pad"),
            _stage(16, 32, blocks, stride=2, shortcut="pad"),
            _stage(32, 64, blocks, stride=2, shortcut="pad"),
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return features_ND."""
        return _pool(self.stages(self.stem(images_NCHW)))


class ResNet18Cifar(nn.Module):
    """images_NCHW -> features_ND with D = 8 * width: ResNet-18 (table 1) for small images.

    The 7x7 stem of stride 2 and its max-pooling make way for a 3x3 convolution of stride 1, as is usual on CIFAR;
    shortcuts are projections where the shape changes (option B). 11,173,962 parameters with width 64 and a linear
    head for 10 classes of RGB images.
    """

    def __init__(self, channels: int, *, width: int) -> None:
        super().__init__()
        self.stem = _stem(channels, width)
        self.stages = nn.Sequential(
            _stage(width, width, 2, stride=1, shortcut="project"),
            _stage(width, 2 * width, 2, stride=2, shortcut="project"),
            _stage(2 * width, 4 * width, 2, stride=2, shortcut="project"),
            _stage(4 * width, 8 * width, 2, stride=2, shortcut="project"),
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return features_ND."""
        return _pool(self.stages(self.stem(images_NCHW)))


class _Block(nn.Module):
    """relu(shortcut(x) + bn(conv(relu(bn(conv(x))))))."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.first = nn.Sequential(
            _convolution(channels_in, channels_out, 3, stride), nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True)
        )
        self.second = nn.Sequential(_convolution(channels_out, channels_out, 3, 1), nn.BatchNorm2d(channels_out))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = (
                _PaddedShortcut(channels_out - channels_in, stride)
                if shortcut == "pad"
                else nn.Sequential(_convolution(channels_in, channels_out, 1, stride), nn.BatchNorm2d(channels_out))
            )

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        return F.relu(self.shortcut(maps_NCHW) + self.second(self.first(maps_NCHW)), inplace=True)


class _PaddedShortcut(nn.Module):
    """Option A: every `stride`-th row and column, and zeros for the channels that are new, half on each side."""

    def __init__(self, new_channels: int, stride: int) -> None:
        super().__init__()
        self.front = new_channels // 2
        self.behind = new_channels - self.front
        self.stride = stride

    def forward(self, maps_NCHW: Tensor) -> Tensor:
        subsampled_NCHW = maps_NCHW[:, :, :: self.stride, :: self.stride]
        return F.pad(subsampled_NCHW, (0, 0, 0, 0, self.front, self.behind))


def _stem(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(_convolution(channels, width, 3, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def _stage(channels_in: int, channels_out: int, blocks: int, *, stride: int, shortcut: Shortcut) -> nn.Sequential:
    first = _Block(channels_in, channels_out, stride=stride, shortcut=shortcut)
    others = [_Block(channels_out, channels_out, stride=1, shortcut=shortcut) for _ in range(blocks - 1)]
    return nn.Sequential(first, *others)


def _convolution(channels_in: int, channels_out: int, size: int, stride: int) -> nn.Conv2d:
    if size == 1:
        convolution: nn.Conv2d = PointwiseConv2d(channels_in, channels_out, stride, bias=False)
    else:
        convolution = nn.Conv2d(channels_in, channels_out, size, stride=stride, padding=size // 2, bias=False)
    # He et al. (2015), "Delving deep into rectifiers", eq. 10, which section 4.2 follows.
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return convolution


def _pool(maps_NCHW: Tensor) -> Tensor:
    return maps_NCHW.mean((2, 3))
