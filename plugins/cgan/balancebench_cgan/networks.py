"""The networks of the CGAN re-balancing paper (Mankikar, Patel and Zhang): five generators and one discriminator.

Widths are the paper's figures 1 to 3; the convolutional generator is in the authors' program alone. In both networks
the class enters as a learned embedding beside the noise or the pixels.

Axis suffixes: N images, Z latent numbers, E numbers of a class's embedding, C channels, H rows, W columns, P pixels
(C * H * W).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from balancebench_cgan.options import GeneratorName

__all__ = ["Discriminator", "Dropout", "Generator", "make_generator"]


class Generator(nn.Module):
    """noise_NZ normal, labels_N int64 -> images_NCHW in -1..1. Subclasses say what becomes of both, put together."""

    def __init__(self, *, image_shape: tuple[int, int, int], class_count: int, embedding_size: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.embedding = nn.Embedding(class_count, embedding_size)

    def forward(self, noise_NZ: Tensor, labels_N: Tensor) -> Tensor:
        """Return images_NCHW."""
        return self.draw(torch.cat([noise_NZ, self.embedding(labels_N)], dim=1))

    def draw(self, inputs_NI: Tensor) -> Tensor:
        """Return images_NCHW for noise and embeddings, I = Z + E of them."""
        raise NotImplementedError


class MlpGenerator(Generator):
    """Linear layers between the input and the pixels, then tanh. `hidden`: all layers before the one of the pixels."""

    def __init__(
        self,
        hidden: nn.Sequential,
        last_width: int,
        *,
        image_shape: tuple[int, int, int],
        class_count: int,
        embedding_size: int,
    ) -> None:
        super().__init__(image_shape=image_shape, class_count=class_count, embedding_size=embedding_size)
        self.layers = nn.Sequential(*hidden, nn.Linear(last_width, math.prod(image_shape)), nn.Tanh())

    def draw(self, inputs_NI: Tensor) -> Tensor:
        """Return images_NCHW."""
        return self.layers(inputs_NI).unflatten(1, self.image_shape)


class ConvolutionalGenerator(Generator):
    """A quarter-size image from a linear layer, doubled twice by convolutions C-128-256 and refined by 256-128-C.

    The authors' program starts from 1x7x7 for 1x28x28. Here it is C maps of ceil(H / 4) x ceil(W / 4), and rows and
    columns that are too many are cut off at the end.
    """

    def __init__(
        self, input_size: int, *, image_shape: tuple[int, int, int], class_count: int, embedding_size: int, leak: float
    ) -> None:
        super().__init__(image_shape=image_shape, class_count=class_count, embedding_size=embedding_size)
        channels, rows, columns = image_shape
        start = (channels, math.ceil(rows / 4), math.ceil(columns / 4))
        self.layers = nn.Sequential(
            nn.Linear(input_size, math.prod(start)),
            nn.LeakyReLU(leak),
            nn.Unflatten(1, start),
            nn.ConvTranspose2d(channels, 128, 4, stride=2, padding=1),
            nn.LeakyReLU(leak),
            nn.ConvTranspose2d(128, 256, 4, stride=2, padding=1),
            nn.LeakyReLU(leak),
            nn.ConvTranspose2d(256, 128, 5, padding=2),
            nn.LeakyReLU(leak),
            nn.Conv2d(128, channels, 5, padding=2),
            nn.Tanh(),
        )

    def draw(self, inputs_NI: Tensor) -> Tensor:
        """Return images_NCHW."""
        _, rows, columns = self.image_shape
        return self.layers(inputs_NI)[:, :, :rows, :columns]


def make_generator(
    name: GeneratorName,
    *,
    image_shape: tuple[int, int, int],
    class_count: int,
    latent_size: int,
    embedding_size: int,
    leak: float,
) -> Generator:
    """Return the generator of that name for images of (C, H, W), with torch's initial weights."""
    inputs = latent_size + embedding_size
    if name == "convolutional":
        return ConvolutionalGenerator(
            inputs, image_shape=image_shape, class_count=class_count, embedding_size=embedding_size, leak=leak
        )

    def leaky(width_in: int, width_out: int) -> list[nn.Module]:
        return [nn.Linear(width_in, width_out), nn.LeakyReLU(leak)]

    def relu(width_in: int, width_out: int) -> list[nn.Module]:
        return [nn.Linear(width_in, width_out), nn.ReLU()]

    match name:
        case "mlp_leaky":
            hidden, last_width = [*leaky(inputs, 256), *leaky(256, 512), *leaky(512, 1024)], 1024
        case "mlp_relu":
            hidden, last_width = [*relu(inputs, 256), *relu(256, 512), *relu(512, 1024)], 1024
        case "small_mlp_leaky":
            hidden, last_width = [*leaky(inputs, 256), *leaky(256, 512)], 512
        case "big_mlp_leaky":
            hidden = [
                *leaky(inputs, 256),
                *leaky(256, 384),
                nn.BatchNorm1d(384),
                *leaky(384, 512),
                *leaky(512, 768),
                nn.Linear(768, 1024),
                nn.BatchNorm1d(1024),
                nn.LeakyReLU(leak),
            ]
            last_width = 1024
    return MlpGenerator(
        nn.Sequential(*hidden),
        last_width,
        image_shape=image_shape,
        class_count=class_count,
        embedding_size=embedding_size,
    )


class Dropout(nn.Module):
    """Dropout as nn.Dropout's, drawn more quickly on processors.

    There a float is drawn for each mask value, a fifth of a training step. 16 random bits do as well: the share that is
    dropped is rounded to 1 / 65536. The number of values is to be a multiple of 4.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Return the values, where training some of them 0 and the others larger by 1 / (1 - share)."""
        if not self.training or self.share == 0 or values.device.type != "cpu":
            return F.dropout(values, self.share, self.training)
        words = torch.empty(values.numel() // 4, dtype=torch.int64).random_(-(2**63), None)
        bits = words.view(torch.int16).view(values.shape)
        kept = torch.empty(values.shape, dtype=values.dtype)
        torch.ge(bits, round(self.share * 2**16) - 2**15, out=kept)
        return values * kept.mul_(1 / (1 - self.share))


class Discriminator(nn.Module):
    """pixels_NP in -1..1, labels_N -> logits_N, whose sigmoid is the probability of being real.

    Linear P+E - 1024 - 512 - 256 - 1, leaky ReLU and dropout after each but the last.
    """

    def __init__(
        self, *, image_shape: tuple[int, int, int], class_count: int, embedding_size: int, leak: float, dropout: float
    ) -> None:
        super().__init__()
        self._pixels = math.prod(image_shape)
        self.embedding = nn.Embedding(class_count, embedding_size)
        self.first = nn.Linear(self._pixels + embedding_size, 1024)
        self.layers = nn.Sequential(
            nn.LeakyReLU(leak),
            Dropout(dropout),
            nn.Linear(1024, 512),
            nn.LeakyReLU(leak),
            Dropout(dropout),
            nn.Linear(512, 256),
            nn.LeakyReLU(leak),
            Dropout(dropout),
            nn.Linear(256, 1),
        )

    def forward(self, pixels_NP: Tensor, labels_N: Tensor) -> Tensor:
        """Return logits_N."""
        # The first layer over pixels and embedding side by side, in two parts: put together, the embedding's need of
        # a gradient would have one computed for all pixels of the real images, a tenth of a step's arithmetic.
        weight_of_pixels, weight_of_embedding = self.first.weight.split_with_sizes(
            [self._pixels, self.embedding.embedding_dim], dim=1
        )
        of_labels = F.linear(self.embedding(labels_N), weight_of_embedding, self.first.bias)
        return self.layers(F.linear(pixels_NP, weight_of_pixels) + of_labels).squeeze(1)
