"""Candidates: images of each class that a base balancer can offer, the same ones as often as they are asked for.

Axis suffixes: M candidates, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from balancebench import BalancerError, Base, ImageGenerator, LabelledImages, Origin, SynthesisContext, seed_for
from balancebench.synthesis.fill import draw_images

__all__ = ["Candidates", "candidates_of"]

CHUNK = 256  # candidates of a class made at once


class Candidates(Protocol):
    """What a base offers."""

    def chunks(self, label: int, at_once: int, most: int) -> Iterator[LabelledImages]:
        """Yield candidates of a class, `at_once` at a time and `most` in all, or as many as there are.

        Two calls with the same arguments yield the same images, whatever other classes are asked for.
        """
        ...


class _MadeCandidates:
    """The images that a base made once and for all."""

    def __init__(self, generated: LabelledImages) -> None:
        self._made = generated

    def chunks(self, label: int, at_once: int, most: int) -> Iterator[LabelledImages]:
        """Yield them in the order in which they were made."""
        of_label_M = np.flatnonzero(self._made.labels_N == label)[:most]
        for begin in range(0, len(of_label_M), at_once):
            yield self._made.take(of_label_M[begin : begin + at_once])


class _DrawnCandidates:
    """The drawings of a trained generator, kept with the step's checkpoints for the next round and the next attempt.

    Each chunk of each class has a random stream of its own, so that no class depends on how many images another needed.
    """

    def __init__(self, generator: ImageGenerator, train: LabelledImages, context: SynthesisContext) -> None:
        self._generator = generator
        self._train = train
        self._context = context

    def chunks(self, label: int, at_once: int, most: int) -> Iterator[LabelledImages]:
        """Yield drawings; each is drawn once."""
        for begin in range(0, most, at_once):
            yield self._chunk(label, begin, min(at_once, most - begin))

    def _chunk(self, label: int, begin: int, count: int) -> LabelledImages:
        path = self._context.checkpoints.folder / "candidates" / f"{label}_{begin}_{count}.npy"
        if not path.exists():
            self._draw(label, begin, count, path)
        return LabelledImages(
            images_NCHW=np.load(path, mmap_mode="r"),
            labels_N=np.full(count, label, dtype=np.int64),
            class_names=self._train.class_names,
            superclass_K=self._train.superclass_K,
            origin_N=np.full(count, Origin.SYNTHETIC, dtype=np.uint8),
        )

    def _draw(self, label: int, begin: int, count: int, path: Path) -> None:
        context, class_name = self._context, self._train.class_names[label]
        drawn = draw_images(
            self._generator,
            self._train,
            np.where(np.arange(self._train.class_count) == label, count, 0),
            seed=seed_for("candidates", context.seed, class_name, begin),
            device=context.device,
            deterministic=context.deterministic,
            progress=context.progress,
        )
        if drawn is None:
            raise BalancerError(f"the generator drew nothing for class {class_name!r}")
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f"unfinished_{path.name}")
        np.save(temporary, np.asarray(drawn.images_NCHW), allow_pickle=False)
        temporary.replace(path)


def candidates_of(base: Base | None, train: LabelledImages, context: SynthesisContext) -> Candidates:
    """Return what `base` offers for the classes of `train`: what it made, or else the drawings of its generator.

    Raises BalancerError where it neither made images nor trains a generator.
    """
    if base is None:
        raise BalancerError('it wraps nothing: give base = { use = "..." }, a balancer that makes images')
    if base.synthetic is not None:
        return _MadeCandidates(base.synthetic)
    try:
        generator = base.generator()
    except BalancerError as error:
        raise BalancerError(
            f"its base, {type(base.balancer).__name__}, made no images to choose from and has no generator to draw "
            f"from ({error}); give a base that makes images, with a target that lets it make some"
        ) from error
    return _DrawnCandidates(generator, train, context)
