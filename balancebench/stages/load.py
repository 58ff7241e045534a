"""Stage `load`: a dataset's splits, decoded once and written to the store."""

from __future__ import annotations

from balancebench.artefacts.splits import write_splits
from balancebench.contracts import LoadContext
from balancebench.data import DatasetSplits
from balancebench.errors import DataError
from balancebench.stages.workplace import Workplace

__all__ = ["run_load"]


def run_load(workplace: Workplace) -> None:
    """Load the dataset and write its splits."""
    dataset = workplace.build("dataset", "component")
    context = LoadContext(
        data_root=workplace.data_root,
        scratch=workplace.scratch,
        progress=workplace.progress,
        logger=workplace.logger,
        note=workplace.note,
        warn=workplace.warn,
    )
    try:
        images = dataset.object.load(context)
    except DataError as error:
        raise DataError(f"dataset {dataset.component.name}: {error}") from error
    if not isinstance(images, DatasetSplits):
        raise DataError(f"{dataset.component.name} returned {type(images).__name__}, not DatasetSplits")
    for name, split in (("training", images.train), ("test", images.test)):
        if len(split) == 0:
            raise DataError(f"{dataset.component.name} has no {name} images")
    with workplace.store.answers.opened():
        write_splits(images, workplace.results, workplace.answers)
