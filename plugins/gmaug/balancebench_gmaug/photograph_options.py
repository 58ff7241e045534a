"""The options of the paper's data sets, and what tells their files apart. Light."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from balancebench import JSON, DataError
from balancebench.loading.image_files import digest_of_files, list_visible_files, nearest_beside
from balancebench.loading.options import FileImageOptions

__all__ = ["HeldOutOptions", "InaturalistOptions", "files_identity"]

NOT_IDENTITY: dict[str, JsonValue] = {"identity": False}
Group = Literal["Amphibians", "Birds", "Fungi", "Insects", "Reptiles"]


class HeldOutOptions(FileImageOptions):
    """Options of `flowers`, `utkface` and `scene`, whose publishers give no test images that are labelled."""

    root: Path = Field(json_schema_extra=NOT_IDENTITY, description="the folder that the publisher's archive unpacks to")
    size: int | None = Field(default=128, ge=1, le=4096, description="side of the square images")
    test_images_per_class: int = Field(
        default=29,
        ge=1,
        description="images of each class held out for testing: the paper's accuracies fit 29 on flowers",
    )
    split_seed: int = Field(default=0, ge=0, description="seed of the draw of the test images")


class InaturalistOptions(FileImageOptions):
    """Options of `inaturalist_2019`."""

    root: Path = Field(
        json_schema_extra=NOT_IDENTITY,
        description="folder with train2019.json, val2019.json, categories.json and train_val2019, or with 2019 as "
        "torchvision unpacks it",
    )
    group: Group = Field(description="the group of species, a data set by itself")
    super_classes: Literal["order", "family", "genus", "none"] = Field(
        default="family",
        description="the rank that stands for the paper's super-classes, whose lists were not published; needs "
        "categories.json",
    )
    size: int | None = Field(default=128, ge=1, le=4096, description="side of the square images")
    test_images_per_class: int = Field(
        default=3, ge=1, description="images of each class held out where val2019.json is not there: it has 3 of each"
    )
    split_seed: int = Field(default=0, ge=0, description="seed of the draw of the test images")


def files_identity(options: HeldOutOptions | InaturalistOptions) -> JSON:
    """Return the SHA-256 of the paths and sizes of all files; raises DataError where the folder is not there."""
    if not options.root.is_dir():
        raise DataError(f"there is no folder {options.root}{nearest_beside(options.root)}")
    return digest_of_files(list_visible_files(options.root))
