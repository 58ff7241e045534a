"""Stage `load`: a dataset's splits, decoded once and written to the store."""

from __future__ import annotations

from balancebench.component import LoadContext
from balancebench.data import DatasetSplits
from balancebench.errors import DataError
from balancebench.stages.arrays import write_splits
from balancebench.stages.order import Workplace

__all__ = ["run_load"]


def run_load(place: Workplace) -> None:
    """Load the dataset and write its splits."""
    dataset = place.build("dataset", "component")
    context = LoadContext(
        data_root=place.data_root, scratch=place.scratch, progress=place.progress, logger=place.logger
    )
    splits = dataset.object.load(context)
    if not isinstance(splits, DatasetSplits):
        raise DataError(f"{dataset.component.name} returned {type(splits).__name__}, not DatasetSplits")
    for name, split in (("training", splits.train), ("test", splits.test)):
        if len(split) == 0:
            raise DataError(f"{dataset.component.name} has no {name} images")
    write_splits(place.results, splits)
