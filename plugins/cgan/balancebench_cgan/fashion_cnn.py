"""fashion_cnn: the classifier of the CGAN re-balancing paper (Mankikar, Patel and Zhang).

    3x3 convolutions C-32, 32-32, pool, 32-48, 48-64, pool; linear 3136-128 on 28x28 images, and the head 128-K

A ReLU follows each of these layers but the head; batch normalisation follows the first ReLU. The text does not draw
this network: its layers are those of the authors' program.

Axis suffixes: N images, C channels, H rows, W columns, D features, K classes.
"""

from __future__ import annotations

from torch import Tensor, nn

from balancebench.training.classifier import NetworkClassifier
from balancebench_cgan.options import FashionCNNOptions

__all__ = ["FashionCNN", "fashion_cnn", "probabilities"]


class FashionCNN(nn.Module):
    """images_NCHW -> features_ND with D = 128, from images of 4x4 and more; the harness adds the head."""

    def __init__(self, channels: int, image_size: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = (size // 4 for size in image_size)  # each of two pools halves, rounding down
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.BatchNorm2d(32),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * rows * columns, 128),
            nn.ReLU(),
        )

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Return features_ND."""
        return self.layers(images_NCHW)


def probabilities(logits_NK: Tensor) -> Tensor:
    """Return the softmax of the logits: what the published network feeds to the cross-entropy."""
    return logits_NK.softmax(dim=1)


def fashion_cnn(options: FashionCNNOptions) -> NetworkClassifier:
    """Return the classifier that trains this network."""
    return NetworkClassifier(FashionCNN, options, output=probabilities if options.softmax_output else None)
