"""Images in class folders, decoded once and resized to one shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from balancebench.builtin.datasets.options import ImageFolderOptions
from balancebench.contracts import LoadContext
from balancebench.data import DatasetSplits, LabelledImages
from balancebench.loading.decode import BATCH_SIZE, EncodedImage, EncodedImages, decode_splits
from balancebench.loading.held_out import (
    first_of_each_class,
    held_out,
    refuse_emptied_classes,
    superclass_of_each,
)
from balancebench.loading.image_files import ImageFile, list_image_tree

__all__ = ["ImageFolder"]


@dataclass(frozen=True)
class ImageFolder:
    """train/CLASS/*.jpg and test/CLASS/*.jpg, or CLASS/*.jpg with a test fraction; classes in the order of names."""

    options: ImageFolderOptions

    def load(self, context: LoadContext) -> DatasetSplits:
        """Return images_NCHW of shape (N, 3 or 1, size, size), memory-mapped from the scratch folder."""
        options = self.options
        tree = list_image_tree(
            options.root, superclass_level=options.superclass_level, one_tree=options.test_fraction is not None
        )
        if tree.links_left_out:
            context.logger.warning(
                "%s: %d symbolic links that lead out of it are not followed", options.root, tree.links_left_out
            )
        superclass_K = tree.superclass_K
        if options.superclasses is not None:
            superclass_K = superclass_of_each(tree.class_names, options.superclasses)
        files: dict[str, Sequence[ImageFile]] = dict(tree.files)
        if options.test_fraction is not None:
            labels_N = np.array([file.label for file in files["train"]], dtype=np.int64)
            parts = held_out(labels_N, tree.class_names, options.test_fraction, options.split_seed)
            everything = files["train"]
            files = {
                split: [everything[i] for i in indices] for split, indices in zip(("train", "test"), parts, strict=True)
            }
        if options.images_per_class is not None:
            labels_N = np.array([file.label for file in files["train"]], dtype=np.int64)
            files["train"] = [files["train"][i] for i in first_of_each_class(labels_N, options.images_per_class)]
        decoded = decode_splits(
            {
                split: EncodedImages(count=len(of_split), batches=_batches(options.root, of_split))
                for split, of_split in files.items()
            },
            options,
            context,
        )
        labels_of = {
            split: np.array([file.label for file in of_split], dtype=np.int64) for split, of_split in files.items()
        }
        for split, labels_N in labels_of.items():
            refuse_emptied_classes(str(options.root), split, labels_N, decoded[split].kept_N, tree.class_names)
        splits = {
            split: LabelledImages(
                images_NCHW=decoded[split].images_NCHW,
                labels_N=labels_N[decoded[split].kept_N],
                class_names=tree.class_names,
                superclass_K=superclass_K,
            )
            for split, labels_N in labels_of.items()
        }
        return DatasetSplits(train=splits["train"], test=splits["test"], validation=splits.get("validation"))


def _batches(root: Path, files: Sequence[ImageFile]) -> Iterator[list[EncodedImage]]:
    for start in range(0, len(files), BATCH_SIZE):
        yield [EncodedImage(file.path, root / file.path) for file in files[start : start + BATCH_SIZE]]
