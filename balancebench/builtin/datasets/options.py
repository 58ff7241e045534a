"""The options of the built-in datasets; imports nothing heavy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from balancebench.config import Options
from balancebench.synthesis.fit_options import FitOptions

__all__ = [
    "DatasetOptions",
    "DigitsOptions",
    "FileImageOptions",
    "HuggingFaceOptions",
    "ImageFolderOptions",
    "TorchvisionOptions",
]

NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}


class DatasetOptions(Options):
    """What every built-in dataset can be asked."""

    images_per_class: int | None = Field(
        None, ge=1, description="keep at most this many training images of each class, the first ones"
    )
    superclasses: dict[str, Annotated[list[str], Field(min_length=1)]] | None = Field(
        None, min_length=1, description="super-class to the names of its classes; every class exactly once"
    )


class DigitsOptions(DatasetOptions):
    """Options of `digits`."""

    test_fraction: float = Field(0.25, gt=0, lt=1, description="share of each class held out for testing")
    split_seed: int = Field(0, ge=0, description="seed of the draw of the test images")


class TorchvisionOptions(DatasetOptions):
    """Options of the data sets that torchvision can download."""

    root: Path | None = Field(
        None,
        json_schema_extra=NOT_IDENTITY,
        description="folder the files lie in or are downloaded to; the shared data folder where left out",
    )
    download: bool = Field(True, json_schema_extra=NOT_IDENTITY, description="download files that are missing")


class FileImageOptions(FitOptions, DatasetOptions):
    """How encoded images (JPEG, PNG, ...) of any size and mode become arrays of one shape."""

    size: int | None = Field(
        None, ge=1, le=4096, description="side of the square images; left out, all files must have one size already"
    )
    channels: Literal["rgb", "grey"] = Field("rgb", description="three colour channels, or one of grey")
    on_broken: Literal["refuse", "skip"] = Field(
        "refuse", description="files that are no readable image: an error that names them, or left out and counted"
    )


class ImageFolderOptions(FileImageOptions):
    """Options of `image_folder`."""

    root: Path = Field(
        json_schema_extra=NOT_IDENTITY,
        description="folder with train/CLASS/*.jpg and test/CLASS/*.jpg (validation/ or val/ too), or with CLASS/*.jpg",
    )
    superclass_level: bool = Field(
        False, description="class folders lie in super-class folders: SUPERCLASS/CLASS/*.jpg"
    )
    test_fraction: float | None = Field(
        None, gt=0, lt=1, description="share of each class held out for testing, where there is no test folder"
    )
    split_seed: int = Field(0, ge=0, description="seed of the draw of the test images under `test_fraction`")

    @model_validator(mode="after")
    def _one_source_of_superclasses(self) -> ImageFolderOptions:
        if self.superclass_level and self.superclasses is not None:
            raise ValueError("super-classes come from `superclass_level` or from `superclasses`, not from both")
        return self


HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def _local_or_hub(value: object) -> object:
    if isinstance(value, str) and (
        value in (".", "..")
        or value.startswith(("./", "../", "~", ".\\", "..\\"))
        or value.endswith(".parquet")
        or Path(value).is_absolute()
    ):
        return Path(value)
    if isinstance(value, str) and not HUB_ID.fullmatch(value):
        raise ValueError("neither a hub id (name or owner/name) nor a local path, which begins with ./, ../, ~ or /")
    return value


class HuggingFaceOptions(FileImageOptions):
    """Options of `huggingface`."""

    path: Annotated[str | Path, BeforeValidator(_local_or_hub)] = Field(
        # The component's `identity` stands for it: a hub id as it is, a local path by the files found there.
        json_schema_extra=NOT_IDENTITY,
        description="hub id (owner/name), or local parquet file or folder, which begins with ./, ../, ~ or /",
    )
    revision: str | None = Field(
        None, min_length=1, description="commit, tag or branch on the hub; name a commit to pin the data"
    )
    configuration: str | None = Field(None, min_length=1, description="configuration (the hub calls it subset) to load")
    train_split: str = Field("train", min_length=1, description="split to train on")
    test_split: str | None = Field(
        None, min_length=1, description='split to test on; "test" where neither this nor test_fraction is given'
    )
    validation_split: str | None = Field(None, min_length=1, description="split to validate on")
    test_fraction: float | None = Field(
        None, gt=0, lt=1, description="share of each class of the training split held out for testing"
    )
    split_seed: int = Field(0, ge=0, description="seed of the draw of the test images under `test_fraction`")
    image_column: str = Field("image", min_length=1, description="column with the images")
    label_column: str = Field("label", min_length=1, description="column with the labels: class labels, integers, text")

    @model_validator(mode="after")
    def _one_source_of_test_images(self) -> HuggingFaceOptions:
        if self.test_split is not None and self.test_fraction is not None:
            raise ValueError("test images come from `test_split` or from `test_fraction`, not from both")
        if isinstance(self.path, Path) and self.revision is not None:
            raise ValueError("`revision` is for data sets on the hub; a local path has none")
        return self
