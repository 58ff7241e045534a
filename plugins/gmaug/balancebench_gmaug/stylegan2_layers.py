"""The layers of StyleGAN2 (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN").

Equalised learning rate: a weight begins as N(0, 1) / m and is used as weight * m / sqrt(fan_in), so that Adam, whose
steps do not depend on a gradient's size, moves all layers alike; m is the layer's learning rate multiplier.
Activations are leaky ReLUs of slope 0.2 times sqrt(2). As these are homogeneous, the factor goes into weight and
bias, where it costs nothing.

Modulated convolution, for style s of an image: with weight w of shape (O, I, 3, 3)

    y_o = sum_i conv(x_i, w_oi s_i) / sqrt(sum_{i, pixels} (w_oi s_i)^2 + 1e-8)

is computed by scaling channels before and after a convolution that all images share: exact, without grouped
convolutions, and twice differentiable.

Axis suffixes: B images of a batch, I, O channels in and out, D numbers of a latent, H rows, W columns.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "EqualisedConv",
    "EqualisedLinear",
    "ModulatedConv",
    "ToPixels",
    "blurred",
    "leaky",
    "minibatch_deviation",
    "unit_second_moment",
    "upsampled",
]

SLOPE, GAIN = 0.2, math.sqrt(2)
LOW_PASS = (1.0, 3.0, 3.0, 1.0)
SMALL = 1e-8


def leaky(values: Tensor) -> Tensor:
    """Return the leaky ReLU of values that carry the factor sqrt(2) already."""
    return F.leaky_relu(values, SLOPE)


def unit_second_moment(values_BD: Tensor) -> Tensor:
    """Return each row divided by the root of its mean square."""
    return values_BD * (values_BD.square().mean(dim=1, keepdim=True) + SMALL).rsqrt()


def blurred(images_BCHW: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Return images, padded with zeros, under the low pass [1, 3, 3, 1] x [1, 3, 3, 1] of sum `gain`.

    A side of s pixels becomes s + 2 padding - 3.
    """
    channels = images_BCHW.shape[1]
    return F.conv2d(images_BCHW, _low_pass(images_BCHW, gain), padding=padding, groups=channels)


def upsampled(images_BCHW: Tensor) -> Tensor:
    """Return images of twice the side: zeros between pixels, then the low pass of sum 4."""
    channels = images_BCHW.shape[1]
    return F.conv_transpose2d(images_BCHW, _low_pass(images_BCHW, 4.0), stride=2, padding=1, groups=channels)


def _low_pass(images_BCHW: Tensor, gain: float) -> Tensor:
    kernel_44 = _kernel(gain, images_BCHW.device, images_BCHW.dtype)
    return kernel_44.expand(images_BCHW.shape[1], 1, 4, 4)


@cache
def _kernel(gain: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the taps' outer product of sum `gain`, uploaded once: an upload waits for the device."""
    with torch.inference_mode(mode=False):  # whoever asks first, training can use it
        taps = torch.tensor(LOW_PASS, device=device, dtype=dtype)
        return torch.outer(taps, taps) * (gain / sum(LOW_PASS) ** 2)


class EqualisedLinear(nn.Module):
    """values_BI -> values_BO. bias: its value at the beginning. multiplier: of the learning rate."""

    def __init__(
        self, inputs: int, outputs: int, *, bias: float = 0.0, multiplier: float = 1.0, activated: bool = False
    ) -> None:
        super().__init__()
        self.weight_OI = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias_O = nn.Parameter(torch.full((outputs,), bias / multiplier))
        self._activated = activated
        self._bias_gain = multiplier * (GAIN if activated else 1.0)
        self._weight_gain = self._bias_gain / math.sqrt(inputs)

    def forward(self, values_BI: Tensor) -> Tensor:
        """Return values_BO."""
        values_BO = F.linear(values_BI, self.weight_OI * self._weight_gain, self.bias_O * self._bias_gain)
        return leaky(values_BO) if self._activated else values_BO


class EqualisedConv(nn.Module):
    """images_BIHW -> images_BOHW of the same or half the side. gain: further factor of what comes out."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: Literal[1, 3],
        *,
        half: bool = False,
        activated: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight_OIHW = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias_O = nn.Parameter(torch.zeros(outputs)) if activated else None
        self._half = half
        self._gain = gain * (GAIN if activated else 1.0)
        self._weight_gain = self._gain / math.sqrt(inputs * size**2)
        self._size = size

    def forward(self, images_BIHW: Tensor) -> Tensor:
        """Return images_BOHW."""
        weight_OIHW = self.weight_OIHW * self._weight_gain
        bias_O = None if self.bias_O is None else self.bias_O * self._gain
        if self._half:
            images_BIHW = blurred(images_BIHW, padding=(self._size + 1) // 2)
            images_BOHW = F.conv2d(images_BIHW, weight_OIHW, bias_O, stride=2)
        else:
            images_BOHW = F.conv2d(images_BIHW, weight_OIHW, bias_O, padding=self._size // 2)
        return images_BOHW if self.bias_O is None else leaky(images_BOHW)


class ModulatedConv(nn.Module):
    """The activated 3x3 convolution whose input channels an image's latent scales; `double` doubles the side.

    noisy: adds noise of a learnt strength, 0 at the beginning, one value a pixel for all channels.
    """

    def __init__(self, inputs: int, outputs: int, latent_size: int, *, double: bool = False, noisy: bool) -> None:
        super().__init__()
        self.style = EqualisedLinear(latent_size, inputs, bias=1.0)
        self.weight_OIHW = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias_O = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(())) if noisy else None
        self.doubles = double
        self._weight_gain = 1 / math.sqrt(inputs * 9)

    def forward(self, images_BIHW: Tensor, latents_BD: Tensor, noise_B1HW: Tensor | None) -> Tensor:
        """Return images_BOHW. noise_B1HW: None where the layer has none."""
        style_BI = self.style(latents_BD)
        weight_OIHW = self.weight_OIHW * self._weight_gain
        images_BOHW = self._convolved(images_BIHW * style_BI[:, :, None, None], weight_OIHW)
        scale_BO = self.demodulation(style_BI, weight_OIHW) * GAIN
        images_BOHW = images_BOHW * scale_BO[:, :, None, None]
        if self.noise_strength is not None and noise_B1HW is not None:
            images_BOHW = images_BOHW + noise_B1HW * (self.noise_strength * GAIN)
        return leaky(images_BOHW + (self.bias_O * GAIN)[:, None, None])

    @staticmethod
    def demodulation(style_BI: Tensor, weight_OIHW: Tensor) -> Tensor:
        """Return scale_BO, under which each image's modulated weights of an output channel have norm 1."""
        squares_OI = weight_OIHW.square().sum(dim=(2, 3))
        return (style_BI.float().square() @ squares_OI.float().t() + SMALL).rsqrt()

    def _convolved(self, images_BIHW: Tensor, weight_OIHW: Tensor) -> Tensor:
        if not self.doubles:
            return F.conv2d(images_BIHW, weight_OIHW, padding=1)
        wide_BOHW = F.conv_transpose2d(images_BIHW, weight_OIHW.transpose(0, 1), stride=2)
        return blurred(wide_BOHW, padding=1, gain=4.0)


class ToPixels(nn.Module):
    """images_BIHW -> pixels_BCHW: a modulated 1x1 convolution that is not demodulated."""

    def __init__(self, inputs: int, channels: int, latent_size: int) -> None:
        super().__init__()
        self.style = EqualisedLinear(latent_size, inputs, bias=1.0)
        self.weight_OIHW = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias_O = nn.Parameter(torch.zeros(channels))
        self._weight_gain = 1 / math.sqrt(inputs)

    def forward(self, images_BIHW: Tensor, latents_BD: Tensor) -> Tensor:
        """Return pixels_BCHW, without any bound."""
        style_BI = self.style(latents_BD) * self._weight_gain
        return F.conv2d(images_BIHW * style_BI[:, :, None, None], self.weight_OIHW, self.bias_O)


def minibatch_deviation(images_BCHW: Tensor, group: int) -> Tensor:
    """Return images with one more channel: the mean deviation of features between the images of a group.

    Groups are `group` consecutive images, so that batches side by side do not mix. Equal images have
    sqrt(1e-8) = 1e-4.
    """
    batch, _, height, width = images_BCHW.shape
    grouped = images_BCHW.float().unflatten(0, (-1, group))
    deviation = (grouped.var(dim=1, correction=0) + SMALL).sqrt()
    mean = deviation.mean(dim=(1, 2, 3))
    channel_B1HW = mean.repeat_interleave(group, output_size=batch)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([images_BCHW, channel_B1HW.to(images_BCHW.dtype)], dim=1)
