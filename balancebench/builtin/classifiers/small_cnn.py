"""small_cnn: five convolutions, made to be quick where there is no GPU.

Axis suffixes: N images, C channels, H rows, W columns, D features.
"""

from __future__ import annotations

from torch import Tensor, nn

from balancebench.builtin.classifiers.options import SmallCNNOptions
from balancebench.training.classifier import NetworkClassifier

__all__ = ["SmallCNN", "small_cnn"]


def small_cnn(options: SmallCNNOptions) -> NetworkClassifier:
    """Return the classifier `small_cnn`."""
    return NetworkClassifier(lambda channels, image_size: SmallCNN(channels, image_size, width=options.width), options)


class SmallCNN(nn.Module):
    """images_NCHW -> features_ND with D = 4 * width; images of 8x8 and more.

    Images of 16 rows and more are halved by the first convolution already and again by the second: high resolution is
    what costs time. Global average pooling at the end fits any size. 166,880 parameters at width 32, grey images.
    """

    def __init__(self, channels: int, image_size: tuple[int, int], *, width: int) -> None:
        super().__init__()
        stem_stride = 2 if min(image_size) >= 16 else 1
        self.layers = nn.Sequential(
            _block(channels, width, stem_stride),
            _block(width, 2 * width, 2),
            _block(2 * width, 2 * width, 1),
            _block(2 * width, 2 * width, 1),
            _block(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return features_ND."""
        return self.layers(images_NCHW)


def _block(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
    # He et al. (2015), "Delving deep into rectifiers", eq. 10.
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))
