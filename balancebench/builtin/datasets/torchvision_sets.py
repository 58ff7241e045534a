"""The data sets that torchvision downloads and parses: MNIST and its kin, CIFAR, SVHN.

Each becomes uint8 NCHW from the raw array, without a loop over images. torchvision checks the MD5 of CIFAR's and
SVHN's files before it reads them (CIFAR's are pickles).
"""

from __future__ import annotations

import gzip
import io
import shutil
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from balancebench.builtin.datasets.idx_files import IDX_FOLDERS, find_idx_files, where_idx_files_go
from balancebench.builtin.datasets.options import TorchvisionOptions
from balancebench.contracts import LoadContext
from balancebench.data import DatasetSplits, LabelledImages
from balancebench.errors import DataError
from balancebench.loading.held_out import as_asked, superclass_of_each

__all__ = ["CIFAR_100_SUPERCLASSES", "Cifar10", "Cifar100", "FashionMnist", "Kmnist", "Mnist", "Svhn"]

DIGITS = tuple("0123456789")

CIFAR_100_SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
"""CIFAR-100's 20 super-classes by their coarse names (Krizhevsky 2009, page 34), each with its 5 classes."""

# What torchvision's parsers raise on files that are cut off, altered, or something else.
BROKEN_FILE = (OSError, EOFError, zlib.error, RuntimeError, ValueError, TypeError, KeyError, IndexError, AssertionError)


@dataclass(frozen=True)
class Mnist:
    """mnist: grey, 28x28. Its files are read where they lie, zipped or not."""

    name: ClassVar = "mnist"
    options: TorchvisionOptions

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return images_NCHW of shape (N, 1, 28, 28)."""
        from torchvision import datasets

        parser = getattr(datasets, IDX_FOLDERS[self.name])
        root = self.options.root or context.data_root
        source = _Source(self.name, root, where_idx_files_go(self.name, root), context)
        files = find_idx_files(self.name, root)
        if not files and self.options.download:
            source.download(lambda: parser(root, download=True))
            files = find_idx_files(self.name, root)
        if not files:
            raise source.missing()
        class_names = DIGITS if self.name == "mnist" else tuple(parser.classes)

        def split(part: str) -> LabelledImages:
            return LabelledImages(
                images_NCHW=_read_idx(files[f"{part}-images-idx3-ubyte"], context.scratch)[:, None],
                labels_N=_read_idx(files[f"{part}-labels-idx1-ubyte"], context.scratch),
                class_names=class_names,
            )

        return as_asked(DatasetSplits(train=split("train"), test=split("t10k")), self.options)


class FashionMnist(Mnist):
    """fashion_mnist: as mnist."""

    name = "fashion_mnist"


class Kmnist(Mnist):
    """kmnist: as mnist."""

    name = "kmnist"


@dataclass(frozen=True)
class Cifar10:
    """cifar10: colour, 32x32."""

    name: ClassVar = "cifar10"
    options: TorchvisionOptions

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return images_NCHW of shape (N, 3, 32, 32)."""
        from torchvision import datasets

        parser = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[self.name]
        root = self.options.root or context.data_root
        placing = f"put the folder {parser.base_folder} (unpacked from {parser.filename}) into {root}"
        source = _Source(self.name, root, placing, context)

        def split(train: bool) -> LabelledImages:
            parsed = source.parse(lambda download: parser(root, train, download=download), self.options.download)
            class_names = tuple(parsed.classes)
            return LabelledImages(
                images_NCHW=np.ascontiguousarray(parsed.data.transpose(0, 3, 1, 2)),
                labels_N=np.asarray(parsed.targets, dtype=np.int64),
                class_names=class_names,
                superclass_K=superclass_of_each(class_names, CIFAR_100_SUPERCLASSES)
                if self.name == "cifar100"
                else None,
            )

        return as_asked(DatasetSplits(train=split(True), test=split(False)), self.options)


class Cifar100(Cifar10):
    """cifar100: as cifar10, with 20 super-classes."""

    name = "cifar100"


@dataclass(frozen=True)
class Svhn:
    """svhn: street-view house numbers, colour, 32x32, without the `extra` images; class names are the digits."""

    options: TorchvisionOptions

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return images_NCHW of shape (N, 3, 32, 32)."""
        from torchvision import datasets

        root = self.options.root or context.data_root
        source = _Source("svhn", root, f"put train_32x32.mat and test_32x32.mat into {root}", context)

        def split(part: str) -> LabelledImages:
            parsed = source.parse(lambda download: datasets.SVHN(root, part, download=download), self.options.download)
            return LabelledImages(
                images_NCHW=np.ascontiguousarray(parsed.data),
                labels_N=np.asarray(parsed.labels, dtype=np.int64),
                class_names=DIGITS,
            )

        return as_asked(DatasetSplits(train=split("train"), test=split("test")), self.options)


@dataclass(frozen=True)
class _Source:
    """Where a data set's files lie; `placing` tells a user what to put where."""

    name: str
    root: Path
    placing: str
    context: LoadContext

    def parse(self, parser: Callable[[bool], Any], download: bool) -> Any:
        """Return `parser(False)`, or, where files are missing or altered, download them first if that is allowed."""
        try:
            return parser(False)
        except RuntimeError:  # what torchvision says when files are missing or have another MD5
            if not download:
                raise self.missing() from None
        return self.download(lambda: parser(True))

    def download(self, parser: Callable[[], Any]) -> Any:
        """Call a torchvision class that downloads; two processes at once wait for each other."""
        self.context.progress(0, 1, f"downloading {self.name} to {self.root}")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (
                FileLock(self.root / f".{self.name}.lock"),
                redirect_stdout(io.StringIO()),  # torchvision draws progress bars of its own over ours
                redirect_stderr(io.StringIO()),
            ):
                return parser()
        except (RuntimeError, OSError, HTTPException) as error:
            raise DataError(
                f"{self.name} cannot be downloaded to {self.root} ({_last_line(error)}); {self.placing}"
            ) from error

    def missing(self) -> DataError:
        return DataError(f"{self.name}: files are missing or altered, and download is off; {self.placing}")


def _read_idx(path: Path, scratch: Path) -> NDArray[Any]:
    """Return images uint8 NHW, or labels int64."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    unzipped = path
    try:
        if path.suffix == ".gz":
            unzipped = scratch / path.stem
            with gzip.open(path, "rb") as packed, unzipped.open("wb") as target:
                shutil.copyfileobj(packed, target, 1 << 20)
        reader = read_image_file if "-images-" in path.name else read_label_file
        return reader(str(unzipped)).numpy()
    except BROKEN_FILE as error:
        raise DataError(f"{path} is broken or no IDX file ({_last_line(error)}); delete or replace it") from error


def _last_line(error: Exception) -> str:
    """Return the line of an error that names its cause: torchvision puts what it tried before it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
