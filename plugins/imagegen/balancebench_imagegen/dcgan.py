"""DCGAN (Radford, Metz and Chintala 2016) with the settings of Asthana, Wagle and Singh, one model a class.

Both networks work on 64x64 images in -1..1, whatever the training images' size: these are resized to it, and what is
made is resized back. The discriminator D minimises, and the generator G in turn,

    D:  bce(D(x), 0.9) + bce(D(G(z)), 0.1)        G:  bce(D(G(z)), 0.9)        z ~ N(0, 1), 100 numbers

Sigmoid and cross-entropy are computed as one, from D's logit, which is the same up to rounding. The generator of the
epoch of the lowest FID makes the images. The variant "code" does what the authors' programs did:

    D sees 0.9 x + 0.1 e, e ~ N(0, 1), drawn twice a step: for the real images, and for the made ones, once for both
    updates.
    FID is of what D saw in the epoch's last step, a partial batch where the batch size does not divide the images; the
    lowest value is forgotten every 100 epochs.
    Images are made with a conversion that expects 0..1: of -1..1, negative values wrap around (see `wrapped`).

Axis suffixes: N images of a class, B images of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from balancebench import BalancerError, LabelledImages, SynthesisContext, nearest
from balancebench.synthesis.curves import Curves
from balancebench.synthesis.frechet import Moments, frechet_distance, moments_of
from balancebench.synthesis.generator_balancer import GeneratorBalancer
from balancebench.synthesis.seeded_run import from_unit_range, load_weights, save_weights, seeded_run, to_unit_range
from balancebench.training.reproducibility import seeded_globals
from balancebench_imagegen.dcgan_features import Features, load_features
from balancebench_imagegen.dcgan_networks import build_discriminator, build_generator
from balancebench_imagegen.options import DcganOptions
from balancebench_imagegen.resize import stretched

__all__ = ["Dcgan", "TrainedModels", "wrapped"]

SIDE = 64
FORGET_LOWEST_AFTER_EPOCHS = 100
RESIZE_AT_ONCE = 1024
FACTS = "generator.json"


class Dcgan(GeneratorBalancer[DcganOptions]):
    """Fills classes with images of a DCGAN trained on each of them."""

    def train_generator(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Train one model for each of `classes`; keep their weights, their curves and generator.json.

        Raises BalancerError where a class has fewer than two images to train on, and where training diverges.
        """
        labels = self._labels_to_train(train)
        sources = [train]
        if self.options.train_on == "withheld_too" and labels:
            sources.append(context.withheld())
        members = {
            label: np.concatenate([images.images_NCHW[np.flatnonzero(images.labels_N == label)] for images in sources])
            for label in labels
        }
        for label, real_NCHW in members.items():
            if len(real_NCHW) < 2:
                raise BalancerError(
                    f"class {train.class_names[label]!r} has {len(real_NCHW)} image{'' if len(real_NCHW) == 1 else 's'}"
                    " to train on: batch normalisation needs at least 2; keep more of it, or list the `classes` to "
                    "train for without it"
                )
        names = {label: _file_name(label, train.class_names[label]) for label in labels}
        with seeded_run(context) as random:
            for number, (label, real_NCHW) in enumerate(members.items()):
                resident_NCHW = _at_64(real_NCHW, random.device)
                curves = Curves(context.artefacts, f"curves_{names[label]}")
                training = _Training(self.options, context, resident_NCHW, random, curves)
                network = training.run(
                    f"{train.class_names[label]}, class {number + 1} of {len(members)}",
                    first_epoch=number * self.options.epochs,
                    all_epochs=len(members) * self.options.epochs,
                )
                save_weights(context.artefacts, f"generator_{names[label]}", network)
        facts = {
            "image_shape": train.images_NCHW.shape[1:],
            "class_names": train.class_names,
            "weights": {label: f"generator_{name}" for label, name in names.items()},
        }
        (context.artefacts / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    def restore_generator(self, folder: Path, device: str) -> TrainedModels:
        """Return the models of all classes in evaluation mode."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        channels, rows, columns = facts["image_shape"]
        torch_device = torch.device(device)
        networks: dict[int, nn.Module] = {}
        with seeded_globals(0, torch_device):  # the weights drawn here are overwritten
            for label, name in facts["weights"].items():
                network = build_generator(channels, self.options.latent, self.options.generator_width)
                load_weights(folder, name, network)
                networks[int(label)] = network.to(torch_device).eval()
        return TrainedModels(
            networks,
            (channels, rows, columns),
            self.options.latent,
            facts["class_names"],
            wraps=self.options.variant == "code",
        )

    def _labels_to_train(self, train: LabelledImages) -> list[int]:
        """Return the classes that get a model; raise BalancerError where one of those listed does not exist."""
        match self.options.classes:
            case "all":
                return list(range(train.class_count))
            case "smaller":
                return np.flatnonzero(train.counts_K < train.counts_K.max()).tolist()
            case listed:
                for name in listed:
                    if name not in train.class_names:
                        raise BalancerError(
                            f"`classes` lists none of this set: {name!r}{nearest(name, train.class_names)}"
                        )
                return sorted(train.class_names.index(name) for name in set(listed))


class TrainedModels:
    """One generator for each class that was trained for, at rest.

    networks: by label. wraps: make pixels with `wrapped`, as the authors' program does.
    """

    def __init__(
        self,
        networks: Mapping[int, nn.Module],
        image_shape: tuple[int, int, int],
        latent: int,
        class_names: Sequence[str],
        *,
        wraps: bool,
    ) -> None:
        self._networks = networks
        self._image_shape = image_shape
        self._latent = latent
        self._class_names = class_names
        self._wraps = wraps

    @torch.no_grad()
    def draw(self, labels_B: NDArray[np.int64], random: torch.Generator) -> NDArray[np.uint8]:
        """Return images_BCHW; raise BalancerError where a class has no model."""
        images_BCHW = np.empty((len(labels_B), *self._image_shape), dtype=np.uint8)
        for label in np.unique(labels_B).tolist():
            if label not in self._networks:
                raise BalancerError(
                    f"class {self._class_names[label]!r} has no model to draw from; add it to the `classes` to train "
                    'for, or say classes = "all"'
                )
            is_drawn_B = labels_B == label
            noise = _noise(int(is_drawn_B.sum()), self._latent, random)
            at_64 = self._networks[label](noise).float()
            images_BCHW[is_drawn_B] = self._as_pixels(at_64).cpu().numpy()
        return images_BCHW

    def _as_pixels(self, at_64_BCHW: Tensor) -> Tensor:
        """Return images of 64x64 in -1..1 as uint8 of the training images' size."""
        if not self._wraps:
            return from_unit_range(stretched(at_64_BCHW, self._image_shape[1:]))
        levels_BCHW = wrapped(at_64_BCHW).float()  # the authors resize what is uint8 already
        return stretched(levels_BCHW, self._image_shape[1:]).round_().clamp_(0, 255).to(torch.uint8)


def wrapped(images_BCHW: Tensor) -> Tensor:
    """Return images in -1..1 as uint8, as a conversion does that expects 0..1: times 255, cut off, modulo 256.

    So 0.5 becomes 127, but -0.5 becomes 129 and -0.1 becomes 231: what should be dark is bright.
    """
    return images_BCHW.float().mul(255).trunc_().remainder_(256).to(torch.uint8)


class _Training:
    """Trains the two networks on the images of one class."""

    def __init__(
        self,
        options: DcganOptions,
        context: SynthesisContext,
        images_NCHW: Tensor,
        random: torch.Generator,
        curves: Curves,
    ) -> None:
        self._options = options
        self._context = context
        self._images_NCHW = images_NCHW
        self._random = random
        self._curves = curves
        device, channels = images_NCHW.device, images_NCHW.shape[1]
        layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        self._generator = build_generator(channels, options.latent, options.generator_width)
        self._discriminator = build_discriminator(channels, options.discriminator_width)
        for network in (self._generator, self._discriminator):
            network.to(device).to(memory_format=layout)  # pyright: ignore[reportCallIssue] - torch leaves it out
        betas, fused = (options.beta1, 0.999), device.type == "cuda"
        self._generator_adam = torch.optim.Adam(
            self._generator.parameters(), options.generator_learning_rate, betas, fused=fused
        )
        self._discriminator_adam = torch.optim.Adam(
            self._discriminator.parameters(), options.discriminator_learning_rate, betas, fused=fused
        )
        self._last_seen = images_NCHW[:0].float(), images_NCHW[:0].float()  # real and made, as D saw them

    def run(self, title: str, *, first_epoch: int, all_epochs: int) -> nn.Module:
        """Return the generator that `checkpoint` chooses, set to make images."""
        options, context = self._options, self._context
        judge = self._judge() if options.checkpoint == "best_fid" else None
        lowest, best = math.inf, copy.deepcopy(self._generator.state_dict())
        for epoch in range(options.epochs):
            sums_2 = torch.zeros(2, device=self._images_NCHW.device)
            images, steps = 0, 0
            for real_BCHW in self._batches():
                sums_2 += self._step(real_BCHW)
                images, steps = images + len(real_BCHW), steps + 1
            context.count(images, steps)
            discriminator_loss, generator_loss = (sums_2 / steps).tolist()  # the epoch's one wait for the device
            values = {"generator_loss": generator_loss, "discriminator_loss": discriminator_loss}
            if judge is not None:
                values["fid"] = judge()
                if options.variant == "code" and epoch % FORGET_LOWEST_AFTER_EPOCHS == 0:
                    lowest = math.inf
                if values["fid"] < lowest:
                    lowest, best = values["fid"], copy.deepcopy(self._generator.state_dict())
            self._curves.add(epoch, **values)
            context.progress(first_epoch + epoch + 1, all_epochs, f"{title}: epoch {epoch + 1}/{options.epochs}")
        if judge is not None:
            self._generator.load_state_dict(best)
        return self._generator.eval()

    def _batches(self) -> Iterator[Tensor]:
        """Yield the class's images in a new order; a last batch of one, which has no batch statistics, is left out."""
        count = len(self._images_NCHW)
        order_N = torch.randperm(count, generator=self._random, device=self._random.device)
        for indices_B in order_N.split(min(self._options.batch_size, count)):
            if len(indices_B) > 1:
                yield to_unit_range(self._images_NCHW.index_select(0, indices_B))

    def _judge(self) -> Callable[[], float]:
        """Return what gives the FID of an epoch that has just ended."""
        features = load_features(self._options.features, self._images_NCHW.device)
        if self._options.variant == "code":
            return lambda: frechet_distance(
                *(_moments(features, from_unit_range(seen_BCHW)) for seen_BCHW in self._last_seen)
            )
        count = min(self._options.batch_size, len(self._images_NCHW))
        chosen_B = torch.randperm(len(self._images_NCHW), generator=self._random, device=self._random.device)[:count]
        real = _moments(features, self._images_NCHW.index_select(0, chosen_B))
        noise = _noise(count, self._options.latent, self._random)

        @torch.no_grad()
        def distance_of_the_same_batch_at_every_epoch() -> float:
            generated_BCHW = from_unit_range(self._generator.eval()(noise))
            self._generator.train()
            return frechet_distance(real, _moments(features, generated_BCHW))

        return distance_of_the_same_batch_at_every_epoch

    def _step(self, real_BCHW: Tensor) -> Tensor:
        """Move D, then G, by one step; return (D's loss, G's loss) without waiting for the device."""
        options, count = self._options, len(real_BCHW)
        half = self._context.precision == "bf16"
        real_B, fake_B = (
            real_BCHW.new_full((count,), options.real_label),
            real_BCHW.new_full((count,), options.fake_label),
        )
        with torch.autocast(real_BCHW.device.type, dtype=torch.bfloat16, enabled=half):
            generated_BCHW = self._generator(_noise(count, options.latent, self._random))
            seen_real_BCHW, seen_made_BCHW = self._as_seen(real_BCHW), self._as_seen(generated_BCHW)
            on_real_B = self._discriminator(seen_real_BCHW)
            on_made_B = self._discriminator(seen_made_BCHW.detach())
        # Real and made images go through D apart, each with batch statistics of its own.
        discriminator_loss = binary_cross_entropy_with_logits(on_real_B.float(), real_B)
        discriminator_loss = discriminator_loss + binary_cross_entropy_with_logits(on_made_B.float(), fake_B)
        self._discriminator_adam.zero_grad(set_to_none=True)
        discriminator_loss.backward()
        self._discriminator_adam.step()

        with torch.autocast(real_BCHW.device.type, dtype=torch.bfloat16, enabled=half):
            on_made_B = self._discriminator(seen_made_BCHW)
        generator_loss = binary_cross_entropy_with_logits(on_made_B.float(), real_B)
        self._generator_adam.zero_grad(set_to_none=True)
        generator_loss.backward()
        self._generator_adam.step()
        self._last_seen = seen_real_BCHW, seen_made_BCHW.detach()
        return torch.stack([discriminator_loss.detach(), generator_loss.detach()])

    def _as_seen(self, images_BCHW: Tensor) -> Tensor:
        """Return what the discriminator sees of images."""
        if self._options.variant == "text":
            return images_BCHW
        noise_BCHW = torch.randn(
            images_BCHW.shape, generator=self._random, device=images_BCHW.device, dtype=images_BCHW.dtype
        )
        return 0.9 * images_BCHW + 0.1 * noise_BCHW


def _moments(features: Features, images_BCHW: Tensor) -> Moments:
    return moments_of(features(images_BCHW).cpu().numpy())


def _noise(count: int, latent: int, random: torch.Generator) -> Tensor:
    return torch.randn((count, latent, 1, 1), generator=random, device=random.device)


def _at_64(images_NCHW: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return the images as uint8 of 64x64 on the device, resized in parts so that floats stay few."""
    parts: list[Tensor] = []
    for begin in range(0, len(images_NCHW), RESIZE_AT_ONCE):
        floats_NCHW = torch.from_numpy(images_NCHW[begin : begin + RESIZE_AT_ONCE]).to(device).float()
        parts.append(stretched(floats_NCHW, (SIDE, SIDE)).round_().clamp_(0, 255).to(torch.uint8))
    return torch.cat(parts)


def _file_name(label: int, class_name: str) -> str:
    """Return a name that no two classes share and every file system takes."""
    return f"{label}_{re.sub(r'[^0-9A-Za-z]+', '_', class_name)}"
