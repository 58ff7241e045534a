"""Data sets of photographs as their publishers lay them out: flowers, UTKFace and scene (Guo et al., section 4.1).

Which split the paper used is not known: test images are held out here, as many of each class.

Axis suffix: N images.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from balancebench import DataError, DatasetSplits, LabelledImages, LoadContext, seed_for
from balancebench.loading.decode import BATCH_SIZE, EncodedImage, EncodedImages, decode_splits
from balancebench.loading.held_out import first_of_each_class, refuse_emptied_classes, superclass_of_each
from balancebench.loading.image_files import IMAGE_SUFFIXES, nearest_beside
from balancebench.loading.options import FileImageOptions
from balancebench_gmaug.photograph_options import HeldOutOptions

__all__ = ["Flowers", "LabelledFile", "Scene", "UtkFace", "held_out_of_each", "load_files"]

FLOWERS = ("daisy", "dandelion", "rose", "sunflower", "tulip")
ETHNICITIES = ("White", "Black", "Asian", "Indian", "Others")
SCENES = ("buildings", "forest", "glacier", "mountain", "sea", "street")
UTKFACE_NAME = re.compile(r"(?P<age>\d{1,3})_(?P<gender>[01])_(?P<ethnicity>[0-4])_(?P<taken>\d+)\.jpg(\.chip\.jpg)?")


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """An image file and its label."""

    path: Path
    label: int


class Flowers:
    """ROOT/CLASS/*.jpg, or ROOT/flowers/CLASS/*.jpg, of five classes."""

    def __init__(self, options: HeldOutOptions) -> None:
        self.options = options

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return the images; raises DataError where a class's folder is missing or has too few images."""
        root = _existing(self.options.root, self.options.root / "flowers", FLOWERS[0])
        files: list[LabelledFile] = []
        for label, name in enumerate(FLOWERS):
            if not (root / name).is_dir():
                raise DataError(f"there is no folder {root / name}: flowers has {', '.join(FLOWERS)}")
            files += [LabelledFile(path, label) for path in _images_in(root / name)]
        return _held_out_splits(files, FLOWERS, self.options, context)


class UtkFace:
    """Faces whose file names say [age]_[gender]_[ethnicity]_[date and time].jpg, anywhere below the root.

    Some of the published names lack a field: they are left out, and counted in a warning.
    """

    def __init__(self, options: HeldOutOptions) -> None:
        self.options = options

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return the images, labelled by ethnicity; raises DataError where no name can be read."""
        root = self.options.root
        files: list[LabelledFile] = []
        unread: list[str] = []
        for path in (path for folder in (root, *_folders_below(root)) for path in _images_in(folder)):
            match = UTKFACE_NAME.fullmatch(path.name)
            if match is None:
                unread.append(path.name)
            else:
                files.append(LabelledFile(path, int(match["ethnicity"])))
        if not files:
            raise DataError(
                f"{root} has no image named as UTKFace's are, such as 25_1_2_20170116174525125.jpg.chip.jpg"
                f"{nearest_beside(root) if not root.is_dir() else ''}"
            )
        if unread:
            context.logger.warning(
                "%d images whose names lack a field are left out, the first being %s", len(unread), unread[0]
            )
        return _held_out_splits(files, ETHNICITIES, self.options, context)


class Scene:
    """ROOT/train.csv (image_name, label from 0 to 5) and ROOT/train/*.jpg; images without a label are left out."""

    def __init__(self, options: HeldOutOptions) -> None:
        self.options = options

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return the labelled images; raises DataError where the table or an image it names is missing."""
        root = _existing(self.options.root, self.options.root / "train-scene classification", "train.csv")
        table = root / "train.csv"
        if not table.is_file():
            raise DataError(f"there is no file {table}: scene's labels stand in it, as image_name,label")
        with table.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        if not rows or not {"image_name", "label"} <= set(rows[0]):
            raise DataError(f"{table} has no columns image_name and label")
        files: list[LabelledFile] = []
        for line, row in enumerate(rows, start=2):
            if not row["label"].isdigit() or int(row["label"]) >= len(SCENES):
                raise DataError(f"{table}, line {line}: label {row['label']!r} is none of 0 to {len(SCENES) - 1}")
            path = root / "train" / Path(row["image_name"]).name
            if not path.is_file():
                raise DataError(f"{table}, line {line}: there is no image {path}")
            files.append(LabelledFile(path, int(row["label"])))
        return _held_out_splits(files, SCENES, self.options, context)


def held_out_of_each(
    files: Sequence[LabelledFile], class_names: Sequence[str], count: int, split_seed: int
) -> tuple[list[LabelledFile], list[LabelledFile]]:
    """Return the training and the test files, `count` of each class, drawn from a stream of the class's own.

    Raises DataError for a class that has no more than `count` images.
    """
    train: list[LabelledFile] = []
    test: list[LabelledFile] = []
    for label, name in enumerate(class_names):
        members = [file for file in files if file.label == label]
        if len(members) <= count:
            raise DataError(
                f"class {name!r} has {len(members)} images, of which test_images_per_class = {count} would leave none "
                "to train on"
            )
        order = np.random.default_rng(seed_for("test split", split_seed, name)).permutation(len(members))
        held_out = set(order[:count].tolist())
        train += [file for index, file in enumerate(members) if index not in held_out]
        test += [file for index, file in enumerate(members) if index in held_out]
    return train, test


def load_files(
    files: dict[str, Sequence[LabelledFile]],
    class_names: tuple[str, ...],
    superclass_K: tuple[str, ...] | None,
    options: FileImageOptions,
    context: LoadContext,
) -> DatasetSplits:
    """Return the images of the splits "train" and "test", decoded as the options say."""
    if options.superclasses is not None:
        superclass_K = superclass_of_each(class_names, options.superclasses)
    if options.images_per_class is not None:
        labels_N = np.array([file.label for file in files["train"]], dtype=np.int64)
        kept = first_of_each_class(labels_N, options.images_per_class)
        files = {**files, "train": [files["train"][index] for index in kept]}
    decoded = decode_splits(
        {split: EncodedImages(count=len(part), batches=_batches(part)) for split, part in files.items()},
        options,
        context,
    )
    splits: dict[str, LabelledImages] = {}
    for split, of_split in decoded.items():
        labels_N = np.array([file.label for file in files[split]], dtype=np.int64)
        refuse_emptied_classes("the data set", split, labels_N, of_split.kept_N, class_names)
        splits[split] = LabelledImages(
            images_NCHW=of_split.images_NCHW,
            labels_N=labels_N[of_split.kept_N],
            class_names=class_names,
            superclass_K=superclass_K,
        )
    return DatasetSplits(train=splits["train"], test=splits["test"])


def _held_out_splits(
    files: Sequence[LabelledFile], class_names: tuple[str, ...], options: HeldOutOptions, context: LoadContext
) -> DatasetSplits:
    train, test = held_out_of_each(files, class_names, options.test_images_per_class, options.split_seed)
    return load_files({"train": train, "test": test}, class_names, None, options, context)


def _batches(files: Sequence[LabelledFile]) -> Iterator[list[EncodedImage]]:
    for start in range(0, len(files), BATCH_SIZE):
        yield [EncodedImage(str(file.path), file.path) for file in files[start : start + BATCH_SIZE]]


def _existing(root: Path, inner: Path, holds: str) -> Path:
    """Return `inner` where it holds what is looked for and the root does not."""
    return inner if not (root / holds).exists() and (inner / holds).exists() else root


def _folders_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_dir()) if root.is_dir() else []


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
