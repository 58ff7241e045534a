"""Fills classes with images of a StyleGAN2-ADA whose labels are blended in (Shahbazi et al. 2022, "Collapse by
Conditioning").

Conditional GANs collapse on few images where unconditional ones do not. So both networks learn without labels first;
from `transition_start_kimg` on labels count more and more, and in full from `transition_end_kimg`. Written from the
papers, in plain PyTorch: stylegan2.py (networks), transitional_cgan_step.py (losses), adaptive_augmentation.py.

Images whose sides are no power of two are padded to the next by their border pixels, and cut out again when drawn.

Axis suffixes: N training images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from balancebench import BalancerError, LabelledImages, SynthesisContext
from balancebench.synthesis.generator_balancer import GeneratorBalancer
from balancebench.synthesis.seeded_run import load_weights, save_weights, seeded_run
from balancebench.training.reproducibility import seeded_globals
from balancebench.training.resident import ResidentImages
from balancebench_gmaug.stylegan2 import Generator, Shape
from balancebench_gmaug.transitional_cgan_drawing import TrainedGenerator
from balancebench_gmaug.transitional_cgan_options import (
    LARGEST_SIDE,
    SMALLEST_SIDE,
    TransitionalCganOptions,
    recipe_of,
)
from balancebench_gmaug.transitional_cgan_snapshots import SnapshotJudge, load_features
from balancebench_gmaug.transitional_cgan_training import Training

__all__ = ["TransitionalCgan", "padded"]

FACTS = "generator.json"


class TransitionalCgan(GeneratorBalancer[TransitionalCganOptions]):
    """Trains one generator on all classes, and has it make what each class is short of."""

    def train_generator(self, train: LabelledImages, context: SynthesisContext) -> None:
        """Keep curves.json, generator.json and generator.safetensors, the average of the chosen snapshot.

        Raises BalancerError where images are too large, fewer than a batch, or all of one class, and where training
        diverges.
        """
        options, shape = self.options, _shape_of(train)
        recipe = recipe_of(options, shape.side)
        _check(train, recipe.batch_size)
        with seeded_run(context) as random:
            images = padded(ResidentImages.upload(train, random.device), shape.side)
            judge = None
            if options.checkpoint == "best_fid":
                judge = SnapshotJudge(
                    load_features(options.features, random.device),
                    images.images_NCHW,
                    images.labels_N,
                    judged_images=recipe.judged_images,
                    seed=context.seed,
                )
            network, snapshot = Training(options, recipe, shape, images, context, random, judge).run()
            save_weights(context.artefacts, "generator", network)
        facts = {
            "image_shape": train.images_NCHW.shape[1:],
            "class_names": train.class_names,
            "is_learnt_K": (train.counts_K > 0).tolist(),
            "snapshot": snapshot.model_dump(),
        }
        (context.artefacts / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    def restore_generator(self, folder: Path, device: str) -> TrainedGenerator:
        """Return the generator in evaluation mode."""
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        channels, height, width = facts["image_shape"]
        class_names = facts["class_names"]
        shape = Shape(side=_side(height, width), channels=channels, class_count=len(class_names))
        torch_device = torch.device(device)
        with seeded_globals(0, torch_device):  # the weights drawn here are overwritten
            network = Generator(recipe_of(self.options, shape.side), shape, self.options.conditioning)
        load_weights(folder, "generator", network)
        unlearnt = {
            label: name
            for label, (name, is_learnt) in enumerate(zip(class_names, facts["is_learnt_K"], strict=True))
            if not is_learnt
        }
        return TrainedGenerator(
            network.to(torch_device).eval(), (height, width), unlearnt, truncation=self.options.truncation
        )


def padded(images: ResidentImages, side: int) -> ResidentImages:
    """Return images of side x side: the old ones in the middle, their border pixels repeated around them."""

    def sources(size: int) -> torch.Tensor:
        before = (side - size) // 2
        return (torch.arange(side, device=images.images_NCHW.device) - before).clamp(0, size - 1)

    height, width = images.images_NCHW.shape[2:]
    if height == width == side:
        return images
    pixels_NCHW = images.images_NCHW.index_select(2, sources(height)).index_select(3, sources(width))
    return replace(images, images_NCHW=pixels_NCHW)


def _shape_of(train: LabelledImages) -> Shape:
    _, channels, height, width = train.images_NCHW.shape
    return Shape(side=_side(height, width), channels=channels, class_count=train.class_count)


def _side(height: int, width: int) -> int:
    """Return the power of two that the networks work at; raise BalancerError where images are too large."""
    longest = max(height, width)
    if longest > LARGEST_SIDE:
        raise BalancerError(
            f"images of {height}x{width} are too large for transitional_cgan, which works at up to "
            f"{LARGEST_SIDE}x{LARGEST_SIDE}: load them at that size"
        )
    return max(SMALLEST_SIDE, 1 << (longest - 1).bit_length())


def _check(train: LabelledImages, batch_size: int) -> None:
    """Raise BalancerError where there is too little to train on."""
    if len(train) < batch_size:
        raise BalancerError(
            f"{len(train)} training images are fewer than a batch of {batch_size}: keep more of them, or give "
            f"transitional_cgan a batch_size of {len(train)} or less"
        )
    learnt = [name for name, count in zip(train.class_names, train.counts_K, strict=True) if count > 0]
    if len(learnt) == 1:
        raise BalancerError(
            f"all training images are of class {learnt[0]!r}: a conditional GAN needs two classes or more to tell apart"
        )
