"""Stage `imbalance`: which training images are kept, which validate, and the fingerprint of both."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from balancebench.component import seed_for
from balancebench.data import DatasetSplits, LabelledImages, class_counts
from balancebench.errors import DataError
from balancebench.stages.arrays import map_array, read_splits, write_array, write_json
from balancebench.stages.order import Workplace
from balancebench.store import Record, Store

__all__ = ["Subset", "read_subset", "run_imbalance", "subset_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """A dataset after imbalance: the kept training images and what they were chosen from."""

    splits: DatasetSplits
    kept_N: NDArray[np.int64]
    validation_N: NDArray[np.int64] | None
    validation_from: str | None

    @property
    def train(self) -> LabelledImages:
        """The kept training images."""
        return self.splits.train.take(self.kept_N)

    @property
    def validation(self) -> LabelledImages | None:
        """The validation images: carved ones, else the dataset's own."""
        if self.validation_N is not None:
            return self.splits.train.take(self.validation_N)
        return self.splits.validation

    @property
    def kept_and_withheld(self) -> LabelledImages:
        """All training images that are not validation images, in the dataset's order."""
        if self.validation_N is None:
            return self.splits.train
        return self.splits.train.take(np.setdiff1d(np.arange(len(self.splits.train)), self.validation_N))

    @property
    def withheld(self) -> LabelledImages:
        """The training images that were removed (and are not validation images)."""
        free_N = np.ones(len(self.splits.train), dtype=bool)
        free_N[self.kept_N] = False
        if self.validation_N is not None:
            free_N[self.validation_N] = False
        return self.splits.train.take(np.flatnonzero(free_N).astype(np.int64))


def run_imbalance(place: Workplace) -> None:
    """Select the images kept, carve validation images, and write indices and fingerprint."""
    splits, digests = read_splits(place.input_folder("dataset"))
    train = splits.train
    imbalancer = place.build("imbalancer", "component")
    seed = place.order.settings["seed"] or 0
    rng = np.random.default_rng(seed_for("subset", seed))
    kept_N = _checked(imbalancer.object.select(train.labels_N, train.class_names, rng), len(train))
    validation = place.order.settings["validation"]
    validation_N: NDArray[np.int64] | None = None
    if validation is not None:
        rng = np.random.default_rng(seed_for("validation", seed))
        original_N = kept_N
        kept_N, validation_N = _carve(train.labels_N, kept_N, validation["source"], validation["fraction"], rng)
        write_array(place.results / "validation.npy", validation_N)
        place.used_withheld_data |= bool(len(np.setdiff1d(validation_N, original_N)))
    write_array(place.results / "kept.npy", kept_N)
    fingerprint = hashlib.sha256(digests["train"].encode() + digests["test"].encode())
    fingerprint.update(np.sort(kept_N).tobytes())
    fingerprint.update(b"" if validation_N is None else np.sort(validation_N).tobytes())
    subset = {
        "fingerprint": fingerprint.hexdigest(),
        "class_names": list(train.class_names),
        "counts_K": class_counts(train.labels_N[kept_N], train.class_count).tolist(),
        "validation": None if validation is None else validation["source"],
    }
    write_json(place.results / "subset.json", subset)


def read_subset(place: Workplace, role: str = "subset") -> Subset:
    """Map the subset that the input step with this role wrote, and its dataset."""
    return subset_of(place.store, place.input_record(role))


def subset_of(store: Store, record: Record) -> Subset:
    """Map the subset of a finished `imbalance` step, and its dataset."""
    folder = store.folder(record.key)
    splits, _ = read_splits(store.folder(record.inputs["dataset"]))
    validation = folder / "validation.npy"
    return Subset(
        splits=splits,
        kept_N=np.array(map_array(folder / "kept.npy")),
        validation_N=np.array(map_array(validation)) if validation.exists() else None,
        validation_from=json.loads((folder / "subset.json").read_text(encoding="utf-8"))["validation"],
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
