"""The two networks of the DCGAN, on 64x64 images in -1..1 (Radford, Metz and Chintala 2016, figure 1).

Weights begin as in their section 4, which Asthana, Wagle and Singh follow: convolutions N(0, 0.02), batch normalisation
N(1, 0.02) with bias 0. Axis suffixes: B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from torch import nn

__all__ = ["build_discriminator", "build_generator"]


def build_generator(channels: int, latent: int, width: int) -> nn.Sequential:
    """Return G: noise (B, latent, 1, 1) -> images_BCHW of 64x64 in -1..1.

    With 3 channels, latent 100 and width 64 it has the paper's 3,576,704 parameters.
    """

    def up(channels_in: int, channels_out: int, stride: int, padding: int) -> list[nn.Module]:
        return [
            nn.ConvTranspose2d(channels_in, channels_out, 4, stride, padding, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]

    generator = nn.Sequential(
        *up(latent, 8 * width, 1, 0),
        *up(8 * width, 4 * width, 2, 1),
        *up(4 * width, 2 * width, 2, 1),
        *up(2 * width, width, 2, 1),
        nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False),
        nn.Tanh(),
    )
    return _initialised(generator)


def build_discriminator(channels: int, width: int) -> nn.Sequential:
    """Return D without its sigmoid: images_BCHW of 64x64 in -1..1 -> logits_B.

    With 3 channels and width 64 it has the paper's 2,765,568 parameters.
    """

    def down(channels_in: int, channels_out: int) -> list[nn.Module]:
        return [
            nn.Conv2d(channels_in, channels_out, 4, 2, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.LeakyReLU(0.2, inplace=True),
        ]

    discriminator = nn.Sequential(
        nn.Conv2d(channels, width, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2, inplace=True),
        *down(width, 2 * width),
        *down(2 * width, 4 * width),
        *down(4 * width, 8 * width),
        nn.Conv2d(8 * width, 1, 4, 1, 0, bias=False),
        nn.Flatten(0),
    )
    return _initialised(discriminator)


def _initialised(network: nn.Sequential) -> nn.Sequential:
    for module in network:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    return network
