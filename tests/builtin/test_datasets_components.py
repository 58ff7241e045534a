"""The declarations of the built-in datasets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from balancebench.builtin.datasets.components import DATASETS
from balancebench.builtin.datasets.idx_files import IDX_FOLDERS, PUBLISHED_MD5
from balancebench.builtin.datasets.options import HuggingFaceOptions, ImageFolderOptions
from balancebench.config import identity_config

REQUIRED = {"image_folder": {"root": "photos"}, "huggingface": {"path": "owner/name"}}


def test_datasets_of_the_core_are_these() -> None:
    assert [component.name for component in DATASETS] == [
        "digits", "mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn", "image_folder", "huggingface",
    ]  # fmt: skip


def test_declaring_imports_nothing_heavy() -> None:
    program = "import balancebench.builtin.datasets.components, sys; print(*sys.modules)"
    imported = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "torch", "torchvision", "sklearn", "scipy", "PIL", "datasets"} & set(imported.split())


@pytest.mark.parametrize("component", DATASETS, ids=lambda component: component.name)
def test_options_are_described_and_smoke_options_are_valid(component) -> None:
    assert all(field.description for field in component.options.model_fields.values())
    options = component.options.model_validate(REQUIRED.get(component.name, {}) | component.smoke)
    assert component.options.model_validate(options.model_dump(mode="json")) == options


def test_where_data_lies_stays_out_of_the_identity() -> None:
    for component in DATASETS:
        options = component.options.model_validate(REQUIRED.get(component.name, {}))
        assert not {"root", "download", "path"} & set(identity_config(options))
        assert "images_per_class" in identity_config(options)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"root": "x", "size": 0}, "size"),
        ({"root": "x", "fill": [0, 0, 256]}, "fill"),
        ({"root": "x", "fill": [0, 0]}, "fill"),
        ({"root": "x", "test_fraction": 1.0}, "test_fraction"),
        ({"root": "x", "fit": "squash"}, "fit"),
        ({"root": "x", "padding": "blue"}, "padding"),
        ({"root": "x", "images_per_class": 0}, "images_per_class"),
        ({"root": "x", "superclasses": {}}, "superclasses"),
        ({"root": "x", "superclasses": {"a": ["b"]}, "superclass_level": True}, "not from both"),
        ({}, "root"),
    ],
)
def test_image_folder_refuses_options_out_of_range(options: dict[str, object], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        ImageFolderOptions.model_validate(options)


def test_huggingface_tells_local_paths_from_hub_ids_by_their_spelling() -> None:
    for local in ("./owner/name", "../images", "~/images", "/data/images", "images.parquet"):
        assert HuggingFaceOptions(path=local).path == Path(local)
    for hub in ("mnist", "owner/name", "owner/name-2.0"):
        assert HuggingFaceOptions(path=hub).path == hub
    with pytest.raises(ValidationError, match="neither a hub id"):
        HuggingFaceOptions(path="some/nested/folder")


def test_huggingface_refuses_options_that_contradict_each_other() -> None:
    with pytest.raises(ValidationError, match="not from both"):
        HuggingFaceOptions(path="owner/name", test_split="test", test_fraction=0.2)
    with pytest.raises(ValidationError, match="a local path has none"):
        HuggingFaceOptions(path="./images", revision="main")


def test_published_checksums_are_torchvisions() -> None:
    from torchvision import datasets

    for name, folder in IDX_FOLDERS.items():
        assert [md5 for _, md5 in getattr(datasets, folder).resources] == list(PUBLISHED_MD5[name])
