"""fruit_cnn: the classifier of "Effectiveness of Data Synthesized by Generative AI in Supervised Image Classification".

    3x3 convolution C-32, ReLU, pool; 3x3 convolution 32-64, ReLU, pool; linear 16384-128 on 64x64 images, ReLU,
    dropout 0.5, and the head 128-K

Weights begin as Glorot and Bengio 2010 have it, uniform, and biases at zero, the head's too.

Axis suffixes: N images, C channels, H rows, W columns, D features, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from balancebench.training.classifier import NetworkClassifier
from balancebench_datasynth.options import FruitCnnOptions

__all__ = ["FruitCnn", "fruit_cnn"]


class FruitCnn(nn.Module):
    """images_NCHW -> features_ND with D = 128, from images of 4x4 and more; the harness adds the head."""

    def __init__(self, channels: int, image_size: tuple[int, int], dropout: float) -> None:
        super().__init__()
        rows, columns = (size // 4 for size in image_size)  # each of two pools halves, rounding down
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * rows * columns, 128),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType] - these layers have one

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return features_ND."""
        return self.layers(images_NCHW)


def fruit_cnn(options: FruitCnnOptions) -> NetworkClassifier:
    """Return the classifier that trains this network."""
    return NetworkClassifier(
        lambda channels, image_size: FruitCnn(channels, image_size, options.dropout), options, head_begins="xavier"
    )
