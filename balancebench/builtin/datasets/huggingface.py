"""Image data sets of the Hugging Face hub, or of the same formats in local files, through the `datasets` library."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from balancebench.builtin.datasets.options import HuggingFaceOptions
from balancebench.contracts import LoadContext
from balancebench.data import DatasetSplits, LabelledImages
from balancebench.errors import DataError, nearest
from balancebench.loading.decode import BATCH_SIZE, EncodedImage, EncodedImages, decode_splits
from balancebench.loading.held_out import (
    first_of_each_class,
    held_out,
    refuse_emptied_classes,
    superclass_of_each,
)
from balancebench.loading.image_files import require_same_classes

__all__ = ["HuggingFace"]


@dataclass(frozen=True)
class HuggingFace:
    """Classes are those that occur: in the order of the class labels, of the integers, or of the text.

    Code that comes with a data set is never run: only data files are read.
    """

    options: HuggingFaceOptions

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return images_NCHW of shape (N, 3 or 1, size, size), memory-mapped from the scratch folder."""
        options = self.options
        library = _library()
        split_names = {"train": options.train_split}
        if options.test_fraction is None:
            split_names["test"] = options.test_split or "test"
        if options.validation_split is not None:
            split_names["validation"] = options.validation_split
        context.progress(0, 1, f"reading {options.path}")
        tables = {split: self._table(library, name, context) for split, name in split_names.items()}
        names_of = {split: self._labels(library, table, split_names[split]) for split, table in tables.items()}
        require_same_classes(str(options.path), {split: sorted(set(names)) for split, names in names_of.items()})
        class_names = _class_order(library, tables["train"].features[options.label_column], set(names_of["train"]))
        superclass_K = None
        if options.superclasses is not None:
            superclass_K = superclass_of_each(class_names, options.superclasses)
        label_of = {name: label for label, name in enumerate(class_names)}
        labels_of = {
            split: np.array([label_of[name] for name in names], dtype=np.int64) for split, names in names_of.items()
        }
        rows_of = {split: np.arange(len(labels_N)) for split, labels_N in labels_of.items()}
        if options.test_fraction is not None:
            tables["test"], labels_of["test"] = tables["train"], labels_of["train"]
            rows_of["train"], rows_of["test"] = held_out(
                labels_of["train"], class_names, options.test_fraction, options.split_seed
            )
        if options.images_per_class is not None:
            kept = first_of_each_class(labels_of["train"][rows_of["train"]], options.images_per_class)
            rows_of["train"] = rows_of["train"][kept]
        decoded = decode_splits(
            {
                split: EncodedImages(
                    count=len(rows_N),
                    batches=_batches(self._images(library, tables[split]), rows_N, split_names.get(split, "train")),
                )
                for split, rows_N in rows_of.items()
            },
            options,
            context,
        )
        for split, rows_N in rows_of.items():
            refuse_emptied_classes(
                str(options.path), split, labels_of[split][rows_N], decoded[split].kept_N, class_names
            )
        splits = {
            split: LabelledImages(
                images_NCHW=decoded[split].images_NCHW,
                labels_N=labels_of[split][rows_N][decoded[split].kept_N],
                class_names=class_names,
                superclass_K=superclass_K,
            )
            for split, rows_N in rows_of.items()
        }
        return DatasetSplits(train=splits["train"], test=splits["test"], validation=splits.get("validation"))

    def _table(self, library: Any, split: str, context: LoadContext) -> Any:
        """Return one split as a `datasets.Dataset` with the columns wanted."""
        options = self.options
        path = options.path
        if isinstance(path, Path) and path.is_file() and options.test_fraction is None:
            raise DataError(f"{path} is one file without splits: set `test_fraction`")
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # the library's own progress bars
                if isinstance(path, str):
                    table = library.load_dataset(path, options.configuration, split=split, revision=options.revision)
                elif path.is_file():
                    table = library.Dataset.from_parquet(str(path), cache_dir=str(context.scratch / "arrow"))
                else:
                    table = library.load_dataset(
                        str(path), options.configuration, split=split, cache_dir=str(context.scratch / "arrow")
                    )
        except MemoryError:
            raise
        except Exception as error:  # the library, Arrow and the hub's client each raise kinds of their own
            where = f"{path} cannot be read" if isinstance(path, Path) else f"{path} cannot be loaded from the hub"
            hint = "" if isinstance(path, Path) else '; a local copy can be named as path = "./FOLDER"'
            raise DataError(f"{where}: {' '.join(str(error).split()) or type(error).__name__}{hint}") from error
        columns = table.column_names
        for option, column in (("image_column", options.image_column), ("label_column", options.label_column)):
            if column not in columns:
                raise DataError(f"{path} has no column {column!r} for `{option}`{nearest(column, columns)}")
        if len(table) == 0:
            raise DataError(f"{path}: split {split!r} is empty")
        return table.select_columns([options.image_column, options.label_column])

    def _labels(self, library: Any, table: Any, split: str) -> list[str]:
        """Return the class name of each row."""
        column = self.options.label_column
        values: list[Any] = list(table.select_columns([column])[column])
        feature = table.features[column]
        unlabelled = [row for row, value in enumerate(values) if value is None]
        if isinstance(feature, library.ClassLabel):
            unlabelled += [row for row, value in enumerate(values) if value is not None and value < 0]
        elif not all(isinstance(value, (int, str)) for value in values if value is not None):
            raise DataError(f"{self.options.path}: label column {column!r} holds {feature}, neither integers nor text")
        if unlabelled:
            raise DataError(
                f"{self.options.path}: {len(unlabelled)} of {len(values)} rows of split {split!r} have no label, the "
                f"first is row {unlabelled[0]}"
            )
        if isinstance(feature, library.ClassLabel):
            return [str(feature.names[value]) for value in values]
        return [str(value) for value in values]

    def _images(self, library: Any, table: Any) -> Any:
        """Return the image column alone, its images still encoded, under the name `image`."""
        column = self.options.image_column
        feature = table.features[column]
        images = table.select_columns([column])
        if isinstance(feature, library.Image):
            images = images.cast_column(column, library.Image(decode=False))
        elif not (_is_bytes(library, feature) or (isinstance(feature, dict) and "bytes" in feature)):
            raise DataError(f"{self.options.path}: column {column!r} holds {feature}, not encoded images")
        return images if column == "image" else images.rename_column(column, "image")


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            "the data set `huggingface` needs the library `datasets`: pip install 'balancebench[huggingface]'"
        ) from error
    return datasets


def _is_bytes(library: Any, feature: Any) -> bool:
    return isinstance(feature, library.Value) and feature.dtype in ("binary", "large_binary")


def _class_order(library: Any, feature: Any, names: set[str]) -> tuple[str, ...]:
    if isinstance(feature, library.ClassLabel):
        return tuple(name for name in feature.names if name in names)
    if feature.dtype.startswith(("int", "uint")):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _batches(images: Any, rows_N: NDArray[np.int64], split: str) -> Iterator[Sequence[EncodedImage]]:
    for start in range(0, len(rows_N), BATCH_SIZE):
        rows_B = rows_N[start : start + BATCH_SIZE]
        yield [
            _encoded(value, f"{split} row {row}")
            for row, value in zip(rows_B, images.select(rows_B)["image"], strict=True)
        ]


def _encoded(value: Any, name: str) -> EncodedImage:
    """Return what a cell holds: bytes, or bytes or a path in a dictionary; an empty cell is an unreadable image."""
    if isinstance(value, dict):
        path = value.get("path")
        named = f"{name}, {Path(path).name}" if path else name
        if value.get("bytes") is None and path:
            return EncodedImage(named, Path(path))
        return EncodedImage(named, value.get("bytes") or b"")
    return EncodedImage(name, value or b"")
