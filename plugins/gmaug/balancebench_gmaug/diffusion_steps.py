"""Diffusion in a thousand steps: the noise of Ho, Jain and Abbeel (DDPM, NeurIPS 2020), its loss, and two samplers.

    x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e,   a_t = product of 1 - b_s to t,   b from 1e-4 to 0.02 in T = 1000 steps

The network predicts e. From t to an earlier s, with x_0 = (x_t - sqrt(1 - a_t) e) / sqrt(a_t), clipped to -1..1 before
it is used, and b = 1 - a_t / a_s,

    ddim        x_s = sqrt(a_s) x_0 + sqrt(1 - a_s) e                             (Song, Meng and Ermon, ICLR 2021)
    ancestral   x_s = (sqrt(a_s) b x_0 + sqrt(a_t / a_s) (1 - a_s) x_t) / (1 - a_t) + sqrt(b) n

A classifier's gradient g moves e by -sqrt(1 - a_t) g, or the ancestral mean by b g (Dhariwal and Nichol 2021).

Axis suffixes: T noise steps, B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

__all__ = ["KEPT_T", "NOISE_STEPS", "Noised", "Predict", "kept_shares", "noised", "sample_steps", "trailing_times"]

NOISE_STEPS = 1000
KEPT_T = np.cumprod(1 - np.linspace(1e-4, 0.02, NOISE_STEPS))
"""a_t: the share of the image's variance that is kept at step t, float64."""

Predict = Callable[[Tensor, int], Tensor]
"""predict(images_BCHW, t) -> what has their shape: the noise in them, or a classifier's gradient."""


class Noised(NamedTuple):
    """A batch with noise on it. times_B: steps, int64. noise_BCHW: what was drawn. kept_B: a_t, float32."""

    images_BCHW: Tensor
    times_B: Tensor
    noise_BCHW: Tensor
    kept_B: Tensor


def kept_shares(device: torch.device) -> Tensor:
    """Return a_t of all steps, float32."""
    return torch.from_numpy(KEPT_T.astype(np.float32)).to(device)


def noised(images_BCHW: Tensor, kept_T: Tensor, random: Generator) -> Noised:
    """Return the images with noise, each of a step of its own, all steps as likely. kept_T: `kept_shares`."""
    device = images_BCHW.device
    times_B = torch.randint(NOISE_STEPS, (len(images_BCHW),), generator=random, device=device)
    noise_BCHW = torch.randn(images_BCHW.shape, generator=random, device=device)
    kept_B = kept_T.index_select(0, times_B)
    share = kept_B[:, None, None, None]
    return Noised(share.sqrt() * images_BCHW + (1 - share).sqrt() * noise_BCHW, times_B, noise_BCHW, kept_B)


def trailing_times(count: int) -> list[int]:
    """Return `count` steps from the last one, 999, downwards, evenly spaced."""
    return [round(NOISE_STEPS - index * NOISE_STEPS / count) - 1 for index in range(count)]


def sample_steps(
    predict_noise: Predict,
    noise: Callable[[], Tensor],
    times: list[int],
    kind: Literal["ddim", "ancestral"],
    *,
    gradient: Predict | None = None,
    clips: bool = True,
) -> Tensor:
    """Return images_BCHW in -1..1, in the noise's dtype.

    noise: returns new standard normal noise_BCHW, the first of which is where the images begin. times: falling.
    gradient: of the guidance, times its scale; None: unguided. clips: cut x_0 to -1..1.
    """
    state_BCHW = noise()
    for time, earlier in zip(times, [*times[1:], None], strict=True):
        kept, kept_earlier = float(KEPT_T[time]), 1.0 if earlier is None else float(KEPT_T[earlier])
        noise_BCHW = predict_noise(state_BCHW, time)
        pull_BCHW = None if gradient is None else gradient(state_BCHW, time)
        if kind == "ddim" and pull_BCHW is not None:
            noise_BCHW = noise_BCHW - math.sqrt(1 - kept) * pull_BCHW
        image_BCHW = (state_BCHW - math.sqrt(1 - kept) * noise_BCHW) / math.sqrt(kept)
        if clips:
            image_BCHW = image_BCHW.clamp(-1, 1)
        if kind == "ddim":
            noise_BCHW = (state_BCHW - math.sqrt(kept) * image_BCHW) / math.sqrt(1 - kept)
            state_BCHW = math.sqrt(kept_earlier) * image_BCHW + math.sqrt(1 - kept_earlier) * noise_BCHW
            continue
        added = 1 - kept / kept_earlier
        state_BCHW = (
            math.sqrt(kept_earlier) * added * image_BCHW
            + math.sqrt(kept / kept_earlier) * (1 - kept_earlier) * state_BCHW
        ) / (1 - kept)
        if pull_BCHW is not None:
            state_BCHW = state_BCHW + added * pull_BCHW
        if earlier is not None:
            state_BCHW = state_BCHW + math.sqrt(added) * noise()
    return state_BCHW
