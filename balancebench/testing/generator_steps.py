"""Runs a balancer that trains a generator as the harness does: training and drawing are steps of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from balancebench.data import LabelledImages
from balancebench.synthesis.generator_balancer import GeneratorBalancer
from balancebench.testing.contexts import synthesis_context

__all__ = ["trained_and_drawn"]


def trained_and_drawn(
    balancer: GeneratorBalancer[Any], train: LabelledImages, folder: Path, seed: int = 0, **context: Any
) -> LabelledImages | None:
    """Return what the balancer draws from the generator that it trains in `folder`, restored from its artefacts.

    context: what `synthesis_context` takes, for the training. The training's artefacts stay in folder/training.
    """
    training_folder, drawing_folder = folder / "training", folder / "drawing"
    training_folder.mkdir()
    drawing_folder.mkdir()
    training = synthesis_context(training_folder, seed, **context)
    balancer.train_generator(train, training)
    generator = balancer.restore_generator(training.artefacts, training.device)
    drawing = synthesis_context(drawing_folder, seed, device=training.device, generator=lambda: generator)
    return balancer.synthesise(train, drawing)
