"""Declares the built-in datasets."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from balancebench.builtin.datasets.idx_files import idx_identity
from balancebench.builtin.datasets.options import (
    DigitsOptions,
    HuggingFaceOptions,
    ImageFolderOptions,
    TorchvisionOptions,
)
from balancebench.component import DatasetComponent
from balancebench.config import JSON
from balancebench.errors import DataError
from balancebench.loading.image_files import (
    digest_of_files,
    list_image_tree,
    list_visible_files,
    nearest_beside,
)

__all__ = ["DATASETS"]

SMOKE = {"images_per_class": 20}


def _image_folder_identity(options: ImageFolderOptions) -> JSON:
    """Return the SHA-256 of the images' paths and sizes; a changed image of the same size goes unnoticed."""
    tree = list_image_tree(
        options.root, superclass_level=options.superclass_level, one_tree=options.test_fraction is not None
    )
    return tree.digest()


def _huggingface_identity(options: HuggingFaceOptions) -> JSON:
    """Return the hub id, or the SHA-256 of the paths and sizes of local files."""
    path = options.path
    if not isinstance(path, Path):
        return {"hub": path}
    if not path.exists():
        raise DataError(f"there is no file or folder {path}{nearest_beside(path)}")
    files = [(path.name, path.stat().st_size)] if path.is_file() else list_visible_files(path)
    return {"files": digest_of_files(files)}


DATASETS: tuple[DatasetComponent[Any], ...] = (
    DatasetComponent(
        name="digits",
        summary="Handwritten digits that come with scikit-learn: 1,797 grey 8x8 images, 10 classes, no download.",
        options=DigitsOptions,
        build="balancebench.builtin.datasets.digits:Digits",
        citation="Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI repository, 1998",
        smoke=SMOKE,
    ),
    DatasetComponent(
        name="mnist",
        summary="Handwritten digits: 60,000 + 10,000 grey 28x28 images, 10 classes.",
        options=TorchvisionOptions,
        build="balancebench.builtin.datasets.torchvision_sets:Mnist",
        identity=partial(idx_identity, "mnist"),
        citation="LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 1998",
        smoke=SMOKE,
    ),
    DatasetComponent(
        name="fashion_mnist",
        summary="Articles of clothing: 60,000 + 10,000 grey 28x28 images, 10 classes.",
        options=TorchvisionOptions,
        build="balancebench.builtin.datasets.torchvision_sets:FashionMnist",
        identity=partial(idx_identity, "fashion_mnist"),
        citation="Xiao, Rasul and Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017",
        smoke=SMOKE,
    ),
    DatasetComponent(
        name="kmnist",
        summary="Cursive Japanese characters: 60,000 + 10,000 grey 28x28 images, 10 classes.",
        options=TorchvisionOptions,
        build="balancebench.builtin.datasets.torchvision_sets:Kmnist",
        identity=partial(idx_identity, "kmnist"),
        citation="Clanuwat et al., Deep learning for classical Japanese literature, arXiv:1812.01718, 2018",
        smoke=SMOKE,
    ),
    DatasetComponent(
        name="cifar10",
        summary="Objects and animals: 50,000 + 10,000 colour 32x32 images, 10 classes.",
        options=TorchvisionOptions,
        build="balancebench.builtin.datasets.torchvision_sets:Cifar10",
        citation="Krizhevsky, Learning multiple layers of features from tiny images, 2009",
        smoke=SMOKE,
    ),
    DatasetComponent(
        name="cifar100",
        summary="Objects and animals: 50,000 + 10,000 colour 32x32 images, 100 classes in 20 super-classes.",
        options=TorchvisionOptions,
        build="balancebench.builtin.datasets.torchvision_sets:Cifar100",
        citation="Krizhevsky, Learning multiple layers of features from tiny images, 2009",
        smoke=SMOKE,
    ),
    DatasetComponent(
        name="svhn",
        summary="Street-view house numbers: 73,257 + 26,032 colour 32x32 images, 10 classes.",
        options=TorchvisionOptions,
        build="balancebench.builtin.datasets.torchvision_sets:Svhn",
        citation="Netzer et al., Reading digits in natural images with unsupervised feature learning, 2011",
        smoke=SMOKE,
    ),
    DatasetComponent(
        name="image_folder",
        summary="A folder of your own: train/CLASS/*.jpg and test/CLASS/*.jpg, or CLASS/*.jpg with a test fraction.",
        options=ImageFolderOptions,
        build="balancebench.builtin.datasets.image_folder:ImageFolder",
        identity=_image_folder_identity,
        brings_validation=lambda options: (
            options.test_fraction is None
            and any(entry.name.lower() in ("validation", "val") for entry in options.root.iterdir())
        ),
        smoke=SMOKE,
    ),
    DatasetComponent(
        name="huggingface",
        summary="Images of the Hugging Face hub, of a parquet file, or of a folder of either kind.",
        options=HuggingFaceOptions,
        build="balancebench.builtin.datasets.huggingface:HuggingFace",
        identity=_huggingface_identity,
        brings_validation=lambda options: options.validation_split is not None,
        smoke=SMOKE,
    ),
)
