"""One step of training both networks of `transitional_cgan`: losses, lazy penalties, and the average of G's weights.

With strength l of the labels, u and q D's logits (see stylegan2.py), and s softplus:

    transitional   G: s(-u) + l s(-q)     D: s(u_made) + s(-u_real) + l (s(q_made) + s(-q_real))     R1 of u
    plain          the same with q alone                                                             R1 of q
    utlo           q of the image and u of its 8x8 version, weights 1 / (1 + a) and a / (1 + a)     R1 of both, weighted

R1 = gamma / 2 |gradient of a real image's logit by the image|^2, every 16 batches and 16-fold. Path length (Karras et
al. 2020, section 3.2), where the preset has it, every 4 batches and 4-fold. Each penalty takes an optimiser step of
its own; with k batches from one to the next, Adam's learning rate and the exponents of its decay rates are k / (k +
1) as large.

No step waits for the device. Axis suffixes: B images of a batch, C channels, H rows, W columns, D numbers of a
latent, L layers.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Adam
from torch.optim.swa_utils import get_ema_multi_avg_fn

from balancebench_gmaug.adaptive_augmentation import AdaptiveAugmentation
from balancebench_gmaug.diff_augment import diff_augmented
from balancebench_gmaug.stylegan2 import LOW_SIDE, Discriminator, Generator, Pixels
from balancebench_gmaug.transitional_cgan_options import Recipe, TransitionalCganOptions

__all__ = ["AdversarialStep", "AskLabels", "Seen", "make_finite", "r1_penalty", "strength_at"]

GENERATOR_INTERVAL, DISCRIMINATOR_INTERVAL = 4, 16
PATH_LENGTH_DECAY = 0.01
PATH_LENGTH_SHARE = 2  # of the batch, one in so many
RAMP_UP = 0.05  # the average's half-life is at most this share of the images so far
LARGEST_GRADIENT = 1e5

AskLabels = Callable[[int], Tensor]
"""ask(count) -> labels_B int64 that G is asked for."""


class Seen(NamedTuple):
    """What D reads of images, before augmentation: low_BCHW is 8x8, and None but for `utlo`."""

    images_BCHW: Tensor
    low_BCHW: Tensor | None


def strength_at(images: int, recipe: Recipe) -> float:
    """Return how much labels count after so many real images: 0, rising linearly within the transition, 1."""
    start, end = recipe.transition_start_kimg * 1000, recipe.transition_end_kimg * 1000
    if images >= end:
        return 1.0
    return max(0.0, (images - start) / (end - start)) if end > start else 0.0


class AdversarialStep:
    """The networks, their optimisers and all that changes from step to step.

    averaged: the running average of G, which makes the images. path_length_mean: a tensor of no axes.
    """

    def __init__(
        self,
        options: TransitionalCganOptions,
        recipe: Recipe,
        generator: Generator,
        discriminator: Discriminator,
        ask: AskLabels,
        random: torch.Generator,
        precision: Literal["fp32", "bf16"],
    ) -> None:
        self.generator, self.discriminator = generator, discriminator
        self.averaged = copy.deepcopy(generator).eval().requires_grad_(False)
        self.generator_adam = _adam(generator, recipe.learning_rate, GENERATOR_INTERVAL)
        self.discriminator_adam = _adam(discriminator, recipe.learning_rate, DISCRIMINATOR_INTERVAL)
        self.path_length_mean = torch.zeros((), device=random.device)
        self.adaptive = (
            AdaptiveAugmentation(
                target=options.ada_target,
                kimg=recipe.ada_kimg,
                batch_size=recipe.batch_size,
                device=random.device,
            )
            if options.augmentation == "ada"
            else None
        )
        self._options, self._recipe = options, recipe
        self._ask, self._random = ask, random
        self._half = precision == "bf16"

    def __call__(self, real_BCHW: Tensor, labels_B: Tensor, batch: int) -> Tensor:
        """Train on real images in -1..1, the `batch`-th from 0; return (G's loss, D's loss)."""
        recipe, count = self._recipe, len(real_BCHW)
        images = batch * recipe.batch_size
        strength = torch.full((), strength_at(images, recipe), device=real_BCHW.device)
        self.discriminator.requires_grad_(False)
        generator_loss = self._generator_loss(count, strength)
        self._take(self.generator_adam, generator_loss)
        if recipe.path_length_weight > 0 and batch % GENERATOR_INTERVAL == 0:
            penalty = self._path_length_penalty(max(1, count // PATH_LENGTH_SHARE), strength)
            self._take(self.generator_adam, penalty * GENERATOR_INTERVAL)
        self.discriminator.requires_grad_(True)

        discriminator_loss, real_logit_B = self._discriminator_loss(real_BCHW, labels_B, strength)
        self._take(self.discriminator_adam, discriminator_loss)
        if batch % DISCRIMINATOR_INTERVAL == 0:
            penalty = self._real_gradient_penalty(real_BCHW, labels_B)
            self._take(self.discriminator_adam, penalty * DISCRIMINATOR_INTERVAL)
        if self.adaptive is not None:
            self.adaptive.observe(real_logit_B, batch)
        self._average(images + count)
        return torch.stack([generator_loss.detach(), discriminator_loss.detach()])

    def _generator_loss(self, count: int, strength: Tensor) -> Tensor:
        labels_B = self._ask(count)
        w_BLD = self._latents(labels_B, strength)
        self.generator.mapping.track_mean(w_BLD[:, -1])
        generated = self._seen(self._pixels(w_BLD))
        of_image_B, of_label_B = self._logits(generated, labels_B)
        return self._weighted(F.softplus(-of_image_B).mean(), F.softplus(-of_label_B).mean(), strength)

    def _discriminator_loss(self, real_BCHW: Tensor, labels_B: Tensor, strength: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and the logits of the real images that augmentation goes by."""
        asked_B = self._ask(len(real_BCHW))
        with torch.no_grad():
            generated = self._seen(self._pixels(self._latents(asked_B, strength)))
        real = self._seen_real(real_BCHW)
        # Side by side in one pass: D looks across the images of a group alone, and groups do not straddle the two.
        both = Seen(
            torch.cat([generated.images_BCHW, real.images_BCHW]),
            None
            if generated.low_BCHW is None or real.low_BCHW is None
            else torch.cat([generated.low_BCHW, real.low_BCHW]),
        )
        of_image, of_label = self._logits(both, torch.cat([asked_B, labels_B]))
        (u_made_B, u_real_B), (q_made_B, q_real_B) = of_image.chunk(2), of_label.chunk(2)
        loss = self._weighted(
            F.softplus(u_made_B).mean() + F.softplus(-u_real_B).mean(),
            F.softplus(q_made_B).mean() + F.softplus(-q_real_B).mean(),
            strength,
        )
        return loss, u_real_B if self._options.conditioning == "transitional" else q_real_B

    def _weighted(self, of_image: Tensor, of_label: Tensor, strength: Tensor) -> Tensor:
        match self._options.conditioning:
            case "plain":
                return of_label
            case "transitional":
                return of_image + strength * of_label
            case "utlo":
                alpha = self._options.utlo_alpha
                return (of_label + alpha * of_image) / (1 + alpha)

    def _real_gradient_penalty(self, real_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """Return R1, in full precision."""
        gamma = self._recipe.gamma
        leaf_BCHW = real_BCHW.detach().requires_grad_()
        if self._options.conditioning != "utlo":
            logits = self.discriminator(self._augmented(leaf_BCHW), labels_B)
            logit_B = logits.q_B if self._options.conditioning == "plain" else logits.u_B
            return r1_penalty(logit_B, leaf_BCHW, gamma)
        low_BCHW = _low(real_BCHW).detach().requires_grad_()
        q_B = self.discriminator(self._augmented(leaf_BCHW), labels_B).q_B
        u_B = self.discriminator(self._augmented(low_BCHW), labels_B, low=True).u_B
        of_image, of_label = r1_penalty(u_B, low_BCHW, gamma), r1_penalty(q_B, leaf_BCHW, gamma)
        return self._weighted(of_image, of_label, torch.ones_like(of_image))

    def _path_length_penalty(self, count: int, strength: Tensor) -> Tensor:
        """Return how unequal the lengths of the images' changes with w are, in full precision."""
        labels_B = self._ask(count)
        w_BLD = self._latents(labels_B, strength)
        images_BCHW = self.generator.synthesis(w_BLD, self.generator.noise(count, self._random)).images_BCHW
        direction_BCHW = torch.randn(images_BCHW.shape, generator=self._random, device=images_BCHW.device)
        direction_BCHW = direction_BCHW / math.sqrt(images_BCHW.shape[2] * images_BCHW.shape[3])
        (gradient_BLD,) = torch.autograd.grad((images_BCHW * direction_BCHW).sum(), w_BLD, create_graph=True)
        length_B = gradient_BLD.square().sum(dim=2).mean(dim=1).sqrt()
        mean = self.path_length_mean.lerp(length_B.mean(), PATH_LENGTH_DECAY)
        self.path_length_mean = mean.detach()
        return (length_B - mean).square().mean() * self._recipe.path_length_weight

    def _latents(self, labels_B: Tensor, strength: Tensor) -> Tensor:
        """Return w_BLD, of two latents from a random layer on in a share of the images."""
        w_BLD = self.generator.latents(self._noise(len(labels_B)), labels_B, strength)
        if self._recipe.mixing == 0:
            return w_BLD
        count, layers = w_BLD.shape[:2]
        other_BLD = self.generator.latents(self._noise(count), labels_B, strength)
        device = w_BLD.device
        cut_B = torch.randint(1, layers, (count,), generator=self._random, device=device)
        mixes_B = torch.rand(count, generator=self._random, device=device) < self._recipe.mixing
        takes_other_BL = mixes_B[:, None] & (torch.arange(layers, device=device) >= cut_B[:, None])
        return torch.where(takes_other_BL[:, :, None], other_BLD, w_BLD)

    def _noise(self, count: int) -> Tensor:
        return torch.randn((count, self.generator.latent_size), generator=self._random, device=self._random.device)

    def _pixels(self, w_BLD: Tensor) -> Pixels:
        with self._autocast():
            return self.generator.synthesis(w_BLD, self.generator.noise(len(w_BLD), self._random))

    def _seen(self, pixels: Pixels) -> Seen:
        low_BCHW = self._augmented(pixels.low_BCHW) if self._options.conditioning == "utlo" else None
        return Seen(self._augmented(pixels.images_BCHW), low_BCHW)

    def _seen_real(self, real_BCHW: Tensor) -> Seen:
        return self._seen(Pixels(real_BCHW, _low(real_BCHW)))

    def _augmented(self, images_BCHW: Tensor) -> Tensor:
        match self._options.augmentation:
            case "ada":
                assert self.adaptive is not None  # noqa: S101 - made above for this case
                return self.adaptive(images_BCHW, self._random)
            case "diff_augment":
                return diff_augmented(images_BCHW, self._random)
            case "none":
                return images_BCHW

    def _logits(self, seen: Seen, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return u_B, of the 8x8 images where there are any, and q_B."""
        with self._autocast():
            logits = self.discriminator(seen.images_BCHW, labels_B)
            if seen.low_BCHW is None:
                return logits.u_B, logits.q_B
            return self.discriminator(seen.low_BCHW, labels_B, low=True).u_B, logits.q_B

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._random.device.type, dtype=torch.bfloat16, enabled=self._half)

    @staticmethod
    def _take(adam: Adam, loss: Tensor) -> None:
        adam.zero_grad(set_to_none=True)
        loss.backward()
        make_finite(adam)
        adam.step()

    @torch.no_grad()
    def _average(self, images: int) -> None:
        """Let the average follow G, faster while few images have been shown; buffers are copied."""
        half_life = max(min(self._recipe.ema_kimg * 1000, RAMP_UP * images), 1e-8)
        decay = 0.5 ** (self._recipe.batch_size / half_life)
        follow = get_ema_multi_avg_fn(decay)
        follow(list(self.averaged.parameters()), list(self.generator.parameters()), torch.ones(()))
        for own, other in zip(self.averaged.buffers(), self.generator.buffers(), strict=True):
            own.copy_(other)


def r1_penalty(logit_B: Tensor, images_BCHW: Tensor, gamma: float) -> Tensor:
    """Return the mean of gamma / 2 |gradient of an image's logit by the image|^2, itself differentiable."""
    (gradient_BCHW,) = torch.autograd.grad(logit_B.sum(), images_BCHW, create_graph=True)
    return gradient_BCHW.square().sum(dim=(1, 2, 3)).mean() * (gamma / 2)


def make_finite(adam: Adam) -> None:
    """Replace gradients that are not numbers by 0, and infinite ones by +-1e5."""
    for group in adam.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(nan=0.0, posinf=LARGEST_GRADIENT, neginf=-LARGEST_GRADIENT)


def _low(images_BCHW: Tensor) -> Tensor:
    """Return the means over blocks that leave 8x8."""
    height, width = images_BCHW.shape[2:]
    blocks = images_BCHW.unflatten(3, (LOW_SIDE, width // LOW_SIDE)).unflatten(2, (LOW_SIDE, height // LOW_SIDE))
    return blocks.mean(dim=(3, 5))


def _adam(network: Generator | Discriminator, learning_rate: float, interval: int) -> Adam:
    share = interval / (interval + 1)
    return Adam(
        network.parameters(),
        lr=learning_rate * share,
        betas=(0.0, 0.99**share),
        eps=1e-8,
        fused=next(network.parameters()).device.type != "mps",
    )
