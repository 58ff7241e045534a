"""StyleGAN2's generator G and discriminator D with labels, for the three ways of `transitional_cgan` to use them.

G: latents z and labels c give w (`Mapping`), w gives images (`Synthesis`), summed up over sides 4, 8, ... ("skip").
The label enters the mapping at its first layer. `transitional` (Shahbazi et al. 2022, section 3.2), with strength l:

    h = lrelu(fc(|z|)) + l lrelu(proj(|embed(c)|))        |v| = v / sqrt(mean v^2)

and at l = 0 no image depends on c. `plain` is StyleGAN2-ADA's: fc reads |z| and |embed(c)| side by side.

D: one trunk with features f of an image, and two logits: u = v.f of the image alone, q = (W f).m(c) / sqrt(D) of image
and label. An 8x8 image can enter the trunk at that side, as `utlo` needs it (Khorram et al. 2024).

Axis suffixes: B images of a batch, C channels of pixels, D numbers of a latent, K classes, L layers with a latent of
their own, H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from balancebench_gmaug.stylegan2_layers import (
    EqualisedConv,
    EqualisedLinear,
    ModulatedConv,
    ToPixels,
    minibatch_deviation,
    unit_second_moment,
    upsampled,
)
from balancebench_gmaug.transitional_cgan_options import Conditioning, Recipe

__all__ = ["LOW_SIDE", "Discriminator", "Generator", "Logits", "Pixels", "Shape"]

LOW_SIDE = 8
SLOW = 0.01  # learning rate multiplier of mapping layers
LATENT_MEAN_DECAY = 0.998


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the networks are made for: images of side x side with so many channels, of K classes."""

    side: int
    channels: int
    class_count: int

    @property
    def sides(self) -> list[int]:
        """4, 8, ... up to the images'."""
        return [2**power for power in range(2, self.side.bit_length())]


class Pixels(NamedTuple):
    """What G makes: images_BCHW, and the sum of its layers up to 8x8."""

    images_BCHW: Tensor
    low_BCHW: Tensor


class Logits(NamedTuple):
    """What D says: u of an image, q of an image with a label; positive is real."""

    u_B: Tensor
    q_B: Tensor


class Mapping(nn.Module):
    """Latents and labels to w."""

    mean_D: Tensor

    def __init__(self, recipe: Recipe, shape: Shape, *, concatenates: bool) -> None:
        super().__init__()
        size = recipe.latent_size
        self.concatenates = concatenates
        self.embed = EqualisedLinear(shape.class_count, size)
        self.first = EqualisedLinear(2 * size if concatenates else size, size, multiplier=SLOW, activated=True)
        self.label = None if concatenates else EqualisedLinear(size, size, multiplier=SLOW, activated=True)
        self.rest = nn.Sequential(
            *(EqualisedLinear(size, size, multiplier=SLOW, activated=True) for _ in range(recipe.mapping_layers - 1))
        )
        self.register_buffer("mean_D", torch.zeros(size))

    def forward(self, noise_BD: Tensor, labels_B: Tensor, strength: Tensor) -> Tensor:
        """Return w_BD float32. strength: how much labels count, 0..1, a tensor of no axes; unused where plain."""
        with torch.autocast(noise_BD.device.type, enabled=False):
            label_BD = _embedded(self.embed, labels_B)
            noise_BD = unit_second_moment(noise_BD)
            if self.label is None:
                hidden_BD = self.first(torch.cat([noise_BD, label_BD], dim=1))
            else:
                hidden_BD = self.first(noise_BD) + strength * self.label(label_BD)
            return self.rest(hidden_BD)

    @torch.no_grad()
    def track_mean(self, w_BD: Tensor) -> None:
        """Let the mean of w, which truncation goes by, follow a batch."""
        self.mean_D.lerp_(w_BD.detach().mean(dim=0), 1 - LATENT_MEAN_DECAY)


class Synthesis(nn.Module):
    """w of every layer to pixels."""

    def __init__(self, recipe: Recipe, shape: Shape) -> None:
        super().__init__()
        self.sides = shape.sides
        width = {side: min(recipe.channel_base // side, recipe.channel_max) for side in self.sides}
        self.noise_sides = [side for side in self.sides for _ in range(1 if side == 4 else 2)] if recipe.noise else []
        self.constant_CHW = nn.Parameter(torch.randn(width[4], 4, 4))
        self.convolutions = nn.ModuleList()
        self.to_pixels = nn.ModuleList()
        for side in self.sides:
            if side > 4:
                self.convolutions.append(
                    ModulatedConv(width[side // 2], width[side], recipe.latent_size, double=True, noisy=recipe.noise)
                )
            self.convolutions.append(ModulatedConv(width[side], width[side], recipe.latent_size, noisy=recipe.noise))
            self.to_pixels.append(ToPixels(width[side], shape.channels, recipe.latent_size))
        # The sides of the layers that have a latent of their own; pixels are made with the one of the last layer.
        self.layer_sides = [side for side in self.sides for _ in range(1 if side == 4 else 2)]

    def forward(self, w_BLD: Tensor, noise: Sequence[Tensor]) -> Pixels:
        """Return pixels around -1..1. noise: one (B, 1, side, side) for each of `noise_sides`."""
        images_BCHW = _channels_last(self.constant_CHW.expand(len(w_BLD), -1, -1, -1))
        pixels_BCHW: Tensor | None = None
        low_BCHW: Tensor | None = None
        layer = 0
        for side, to_pixels in zip(self.sides, self.to_pixels, strict=True):
            for _ in range(1 if side == 4 else 2):
                noise_B1HW = noise[layer] if noise else None
                images_BCHW = self.convolutions[layer](images_BCHW, w_BLD[:, layer], noise_B1HW)
                layer += 1
            new_BCHW = to_pixels(images_BCHW, w_BLD[:, layer - 1]).float()
            pixels_BCHW = new_BCHW if pixels_BCHW is None else upsampled(pixels_BCHW) + new_BCHW
            if side == LOW_SIDE:
                low_BCHW = pixels_BCHW
        assert pixels_BCHW is not None  # noqa: S101 - there are sides
        assert low_BCHW is not None  # noqa: S101 - 8 among them
        return Pixels(pixels_BCHW, low_BCHW)


class Generator(nn.Module):
    """G. unlabelled_L: which layers have a latent without label."""

    unlabelled_L: Tensor

    def __init__(self, recipe: Recipe, shape: Shape, conditioning: Conditioning) -> None:
        super().__init__()
        self.mapping = Mapping(recipe, shape, concatenates=conditioning == "plain")
        self.synthesis = Synthesis(recipe, shape)
        self.latent_size = recipe.latent_size
        low_L = torch.tensor([side <= LOW_SIDE for side in self.synthesis.layer_sides])
        self.register_buffer("unlabelled_L", low_L & (conditioning == "utlo"), persistent=False)
        self._has_unlabelled = conditioning == "utlo"

    def latents(self, noise_BD: Tensor, labels_B: Tensor, strength: Tensor) -> Tensor:
        """Return w_BLD; layers up to 8x8 have one without label where `utlo`."""
        w_BD = self.mapping(noise_BD, labels_B, strength)
        layers = len(self.synthesis.layer_sides)
        w_BLD = w_BD[:, None].expand(-1, layers, -1)
        if self._has_unlabelled:
            without_BD = self.mapping(noise_BD, labels_B, torch.zeros_like(strength))
            w_BLD = torch.where(self.unlabelled_L[:, None], without_BD[:, None], w_BLD)
        return w_BLD

    def noise(self, count: int, random: torch.Generator) -> list[Tensor]:
        """Return the noise that the layers add to `count` images."""
        return [
            torch.randn((count, 1, side, side), generator=random, device=random.device)
            for side in self.synthesis.noise_sides
        ]


class Discriminator(nn.Module):
    """D."""

    def __init__(self, recipe: Recipe, shape: Shape, *, reads_low: bool = False) -> None:
        super().__init__()
        size = recipe.latent_size
        width = {side: min(recipe.channel_base // side, recipe.channel_max) for side in shape.sides}
        self.from_pixels = EqualisedConv(shape.channels, width[shape.side], 1)
        self.from_low_pixels = EqualisedConv(shape.channels, width[LOW_SIDE], 1) if reads_low else None
        self.blocks = nn.ModuleDict(
            {
                str(side): _DownBlock(width[side], width[side // 2], skips=recipe.skips)
                for side in reversed(shape.sides)
                if side > 4
            }
        )
        self._group = recipe.group
        self.last_conv = EqualisedConv(width[4] + 1, width[4], 3)
        self.features = EqualisedLinear(width[4] * 16, width[4], activated=True)
        self.unconditional = EqualisedLinear(width[4], 1)
        self.projection = EqualisedLinear(width[4], size)
        self.embed = EqualisedLinear(shape.class_count, size)
        self.label_mapping = nn.Sequential(
            *(EqualisedLinear(size, size, multiplier=SLOW, activated=True) for _ in range(recipe.label_mapping_layers))
        )

    def forward(self, images_BCHW: Tensor, labels_B: Tensor, *, low: bool = False) -> Logits:
        """Return u_B and q_B, float32. low: the images are 8x8 and enter there; q then means nothing."""
        first = self.from_low_pixels if low else self.from_pixels
        assert first is not None  # noqa: S101 - utlo alone says low
        hidden_BCHW = first(_channels_last(images_BCHW))
        for name, block in self.blocks.items():
            if not low or int(name) <= LOW_SIDE:
                hidden_BCHW = block(hidden_BCHW)
        with torch.autocast(images_BCHW.device.type, enabled=False):
            hidden_BCHW = self.last_conv(minibatch_deviation(hidden_BCHW.float(), self._group))
            features_BD = self.features(hidden_BCHW.flatten(1))
            label_BD = self.label_mapping(_embedded(self.embed, labels_B))
            q_B = (self.projection(features_BD) * label_BD).sum(dim=1) / math.sqrt(label_BD.shape[1])
            return Logits(self.unconditional(features_BD)[:, 0], q_B)


class _DownBlock(nn.Module):
    """Two convolutions, the second of which halves the side; with a residual connection where `skips`."""

    def __init__(self, inputs: int, outputs: int, *, skips: bool) -> None:
        super().__init__()
        gain = math.sqrt(0.5) if skips else 1.0
        self.first = EqualisedConv(inputs, inputs, 3)
        self.second = EqualisedConv(inputs, outputs, 3, half=True, gain=gain)
        self.skip = EqualisedConv(inputs, outputs, 1, half=True, activated=False, gain=gain) if skips else None

    def forward(self, images_BCHW: Tensor) -> Tensor:
        straight_BCHW = self.second(self.first(images_BCHW))
        return straight_BCHW if self.skip is None else straight_BCHW + self.skip(images_BCHW)


def _channels_last(images_BCHW: Tensor) -> Tensor:
    """Return the images in the order in memory in which convolutions are fastest; what is made of them keeps it."""
    return images_BCHW.contiguous(memory_format=torch.channels_last)


def _embedded(embed: EqualisedLinear, labels_B: Tensor) -> Tensor:
    """Return the embeddings of labels, of unit second moment."""
    classes_K = torch.arange(embed.weight_OI.shape[1], device=labels_B.device)
    return unit_second_moment(embed((labels_B[:, None] == classes_K).to(embed.weight_OI.dtype)))
