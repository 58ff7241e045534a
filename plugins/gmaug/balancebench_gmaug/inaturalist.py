"""iNaturalist 2019, a group of species at a time (Van Horn et al. 2018; the competition of 2019).

As the competition published it: train2019.json and val2019.json name the images (train_val2019/GROUP/ID/*.jpg) and
their categories, categories.json their taxonomy. The validation images, 3 of each class, are the test images. As
torchvision unpacks it (2019/GROUP/ID/*.jpg) there are no such files, and as many images of each class are held out.

The paper's super-classes stand in a supplement that was not found. A rank of the taxonomy stands for them, named in the
option, so that SSIM-supSubCls is not the paper's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from balancebench import DataError, DatasetSplits, LoadContext
from balancebench.loading.image_files import IMAGE_SUFFIXES
from balancebench_gmaug.photograph_options import InaturalistOptions
from balancebench_gmaug.photographs import LabelledFile, held_out_of_each, load_files

__all__ = ["Inaturalist2019"]


class Inaturalist2019:
    """One group's classes, in the order of their numbers."""

    def __init__(self, options: InaturalistOptions) -> None:
        self.options = options

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return the images of the group; raises DataError where files are missing, or do not fit together."""
        root, group = self.options.root, self.options.group
        if (root / "train2019.json").is_file():
            by_split = {split: self._listed(root / f"{split}2019.json") for split in ("train", "val")}
        elif (root / "2019" / group).is_dir():
            by_split = {"train": self._in_folders(root / "2019" / group)}
        else:
            raise DataError(
                f"{root} has neither train2019.json, as the competition's archive has, nor 2019/{group}, as "
                "torchvision unpacks it"
            )
        numbers = sorted({number for _, number in by_split["train"]})
        label_of = {number: label for label, number in enumerate(numbers)}
        taxonomy = self._taxonomy()
        class_names = tuple(str(taxonomy.get(number, {}).get("name") or number) for number in numbers)
        if len(set(class_names)) < len(class_names):
            class_names = tuple(f"{name} ({number})" for name, number in zip(class_names, numbers, strict=True))
        labelled = {
            split: [LabelledFile(path, label_of[number]) for path, number in named if number in label_of]
            for split, named in by_split.items()
        }
        if "val" in labelled:
            train, test = labelled["train"], labelled["val"]
        else:
            train, test = held_out_of_each(
                labelled["train"], class_names, self.options.test_images_per_class, self.options.split_seed
            )
        superclass_K = self._superclasses(numbers, taxonomy)
        return load_files({"train": train, "test": test}, class_names, superclass_K, self.options, context)

    def _listed(self, path: Path) -> list[tuple[Path, int]]:
        """Return (image, number of its category) of the group's images that a file of the competition lists."""
        document = _document(path)
        try:
            number_of = {entry["image_id"]: int(entry["category_id"]) for entry in document["annotations"]}
            images = [(str(entry["file_name"]), number_of[entry["id"]]) for entry in document["images"]]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} is not laid out as the competition's: {error!r} is missing or no number"
            ) from error
        in_group = [(Path(name), number) for name, number in images if self.options.group in Path(name).parts]
        if not in_group:
            raise DataError(f"{path} names no image of {self.options.group}")
        return [(path.parent / name, number) for name, number in in_group]

    def _in_folders(self, folder: Path) -> list[tuple[Path, int]]:
        named: list[tuple[Path, int]] = []
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and inner.name.isdigit():
                images = sorted(path for path in inner.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
                named += [(path, int(inner.name)) for path in images]
        if not named:
            raise DataError(f"{folder} has no folders of images that are called by the number of their category")
        return named

    def _taxonomy(self) -> dict[int, dict[str, Any]]:
        path = self.options.root / "categories.json"
        if not path.is_file():
            if self.options.super_classes != "none" and self.options.superclasses is None:
                raise DataError(
                    f"there is no file {path}, which says the {self.options.super_classes} of each category: get it "
                    'from the competition\'s page, or say super_classes = "none"'
                )
            return {}
        entries = _document(path)
        try:
            return {int(entry["id"]): entry for entry in entries}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is no list of categories with an id each") from error

    def _superclasses(self, numbers: list[int], taxonomy: dict[int, dict[str, Any]]) -> tuple[str, ...] | None:
        rank = self.options.super_classes
        if rank == "none" or self.options.superclasses is not None:
            return None
        missing = [number for number in numbers if not taxonomy.get(number, {}).get(rank)]
        if missing:
            raise DataError(
                f"{self.options.root / 'categories.json'} says no {rank} of category {missing[0]}"
                f"{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}"
            )
        return tuple(str(taxonomy[number][rank]) for number in numbers)


def _document(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is no JSON: {error}") from error
