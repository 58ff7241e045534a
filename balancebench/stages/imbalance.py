"""Stage `imbalance`: which training images are kept, and which validate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from balancebench.artefacts.splits import Splits
from balancebench.artefacts.subset import Subset
from balancebench.errors import DataError
from balancebench.seeds import seed_for
from balancebench.stages.input_files import handed_out
from balancebench.stages.workplace import Workplace
from balancebench.step import SubsetInputs

__all__ = ["run_imbalance"]


def run_imbalance(workplace: Workplace) -> None:
    """Select the images kept, carve validation images, and write both."""
    splits = Splits.read(workplace.store, workplace.inputs(SubsetInputs).dataset)
    train = splits.train
    imbalancer = workplace.build("imbalancer", "component")
    seed = workplace.step.settings["seed"] or 0
    rng = np.random.default_rng(seed_for("subset", seed))
    with handed_out(imbalancer.component.name, train.labels_N):
        kept_N = _checked(imbalancer.object.select(train.labels_N, train.class_names, rng), len(train))
    validation = workplace.step.settings["validation"]
    if validation is None:
        Subset(splits=splits, kept_N=kept_N).write(workplace.results)
        return
    rng = np.random.default_rng(seed_for("validation", seed))
    source = validation["source"]
    trained_N, validation_N = _carve(train.labels_N, kept_N, source, validation["fraction"], rng)
    workplace.used_withheld_data |= bool(len(np.setdiff1d(validation_N, kept_N)))
    Subset(splits=splits, kept_N=trained_N, validation_N=validation_N, validation_source=source).write(
        workplace.results
    )


def _checked(kept_N: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    if kept_N.dtype != np.int64 or kept_N.ndim != 1 or len(kept_N) == 0:
        raise DataError("an imbalancer must return at least one index, as int64 of one axis")
    if kept_N.min() < 0 or kept_N.max() >= count or len(np.unique(kept_N)) != len(kept_N):
        raise DataError(f"an imbalancer must return each index at most once, in 0..{count - 1}")
    return kept_N


def _carve(
    labels_N: NDArray[np.int64], kept_N: NDArray[np.int64], source: str, fraction: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the kept and the validation indices.

    A class that lost no image gives kept ones even where the source is "withheld". A class keeps one image at least.
    """
    is_kept_N = np.zeros(len(labels_N), dtype=bool)
    is_kept_N[kept_N] = True
    chosen: list[NDArray[np.int64]] = []
    for label in np.unique(labels_N[kept_N]):
        members = np.flatnonzero(labels_N == label)
        removed = members[~is_kept_N[members]]
        from_kept = source == "kept" or len(removed) == 0
        pool = members[is_kept_N[members]] if from_kept else removed
        size = min(max(1, round(fraction * len(pool))), len(pool) - from_kept)
        chosen.append(rng.permutation(pool)[:size])
    validation_N = np.sort(np.concatenate(chosen)).astype(np.int64)
    if len(validation_N) == 0:
        raise DataError("no class has an image to spare for validation; leave out [run] validation")
    return kept_N[~np.isin(kept_N, validation_N)], validation_N
