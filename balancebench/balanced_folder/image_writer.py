"""Writes balanced images as PNG files by class, with a manifest and a data card.

Axis suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from balancebench.balanced_folder.request import BalanceRequest
from balancebench.contracts import Progress
from balancebench.data import UNKNOWN_PARENT, LabelledImages, Origin

__all__ = ["write_folder"]

COLUMNS = ("file", "class", "kind", "source", "seed", "parent", "second_parent", "second_weight")
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """One image written. source: the file it was read from, or the balancer.

    parent: the file that it is a copy of or was made from, UNKNOWN where the balancer does not say. second_parent: of
    an image between two; second_weight: its share of the image, the first one's is the rest.
    """

    file: str
    class_name: str
    kind: str
    source: str
    seed: str
    parent: str
    second_parent: str
    second_weight: str

    def cells(self) -> tuple[str, ...]:
        """Return the values in the order of COLUMNS."""
        own = (self.file, self.class_name, self.kind, self.source, self.seed)
        return (*own, self.parent, self.second_parent, self.second_weight)


def write_folder(
    request: BalanceRequest,
    train: LabelledImages,
    source_files: Sequence[str],
    balanced: LabelledImages,
    provenance: str,
    progress: Progress,
) -> None:
    """Write what is missing of the images, then manifest and data card; the work folder goes when all is there.

    source_files: of each image of `train`, below the folder that was read.
    """
    rows = list(_manifest(request, train, source_files, balanced))
    for index, row in enumerate(rows):
        path = request.output / row.file
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_suffix(".unfinished")
            _picture(np.asarray(balanced.images_NCHW[index])).save(temporary, "PNG")
            temporary.replace(path)
        if index % 100 == 99:
            progress(index + 1, len(rows), f"image {index + 1}/{len(rows)}")
    with (request.output / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(row.cells() for row in rows)
    (request.output / "README.md").write_text(_data_card(request, train, balanced, provenance), encoding="utf-8")
    shutil.rmtree(request.work)


def _manifest(
    request: BalanceRequest, train: LabelledImages, source_files: Sequence[str], balanced: LabelledImages
) -> Iterator[ManifestRow]:
    """Yield a row for each balanced image: real and repeated ones are found again by their pixels and class."""
    files_of: dict[tuple[int, str], deque[str]] = defaultdict(deque)
    for index, name in enumerate(source_files):
        files_of[int(train.labels_N[index]), _digest(train.images_NCHW[index])].append(name)
    numbers: dict[tuple[int, str], int] = defaultdict(int)
    for index in range(len(balanced)):
        label, origin = int(balanced.labels_N[index]), Origin(int(balanced.origins_N[index]))
        kind = origin.name.lower()
        same = files_of.get((label, _digest(balanced.images_NCHW[index])), deque[str]())
        source = same[0] if same and origin in (Origin.REAL, Origin.REPEATED) else ""
        if origin is Origin.REAL and len(same) > 1:
            same.rotate(-1)  # equal photographs are named one after the other
        numbers[label, kind] += 1
        class_name = balanced.class_names[label]
        parent, second_parent, second_weight = source if origin is Origin.REPEATED else "", "", ""
        if origin in (Origin.AUGMENTED, Origin.SYNTHETIC):
            parent, second_parent, second_weight = _parents(balanced, index, source_files)
        yield ManifestRow(
            file=f"{class_name}/{kind}_{numbers[label, kind]:05d}.png",
            class_name=class_name,
            kind=kind,
            source=source if origin is Origin.REAL else request.balancer.component.name,
            seed="" if origin is Origin.REAL else str(request.seed),
            parent=parent,
            second_parent=second_parent,
            second_weight=second_weight,
        )


def _parents(balanced: LabelledImages, index: int, source_files: Sequence[str]) -> tuple[str, str, str]:
    """Return the file that a made image comes from; of one between two, the second and its weight too."""
    parents = balanced.parents
    if parents is None or parents.first_N[index] == UNKNOWN_PARENT:
        return UNKNOWN, "", ""
    first, second = source_files[int(parents.first_N[index])], int(parents.second_N[index])
    if second == UNKNOWN_PARENT:
        return first, "", ""
    return first, source_files[second], f"{parents.second_weight_N[index]:.6f}"


def _digest(image_CHW: NDArray[np.uint8]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image_CHW).tobytes()).hexdigest()


def _picture(image_CHW: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image_CHW[0] if len(image_CHW) == 1 else np.ascontiguousarray(image_CHW.transpose(1, 2, 0)))


def _data_card(request: BalanceRequest, train: LabelledImages, balanced: LabelledImages, provenance: str) -> str:
    """Return what a reader of the folder must know."""
    kinds = [origin for origin in Origin if (balanced.origins_N == origin).any()]
    header = " | ".join(["class", "before", *(origin.name.lower() for origin in kinds), "now"])
    lines = [f"| {header} |", "|" + "---|" * (len(kinds) + 3)]
    for label, name in enumerate(balanced.class_names):
        of_class = balanced.labels_N == label
        counts = [int((of_class & (balanced.origins_N == origin)).sum()) for origin in kinds]
        cells = [str(int(train.counts_K[label])), *map(str, counts), str(int(of_class.sum()))]
        lines.append(f"| {' | '.join([name, *cells])} |")
    outside: list[str] = []
    level = request.balancer
    while True:
        if (text := level.component.outside_data(level.options)) is not None:
            outside.append(text)
        if level.base is None:
            break
        level = level.base
    component = request.component
    shape = "x".join(map(str, train.images_NCHW.shape[:1:-1]))
    return "\n".join(
        [
            f"# {request.folder.resolve().name}, balanced with {component.name}",
            "",
            f"{component.summary} Not for testing: a test set holds real images of their own numbers.",
            "",
            *lines,
            "",
            f"- Images: PNG, {shape} pixels, {'grey' if train.images_NCHW.shape[1] == 1 else 'RGB'}; brought to size "
            f"as `{json.dumps(request.fit.model_dump(mode='json'))}` says, real ones and made ones alike.",
            f"- Balancer: `{json.dumps(request.identity['balancer'])}`, seed {request.seed}.",
            f"- After: {component.citation or 'no publication'}.",
            f"- Data from outside: {'; '.join(outside) or 'none'}.",
            f"- Made by: {provenance}.",
            "- `manifest.csv` says of each file its class, its kind (real, repeated, augmented or synthetic), its",
            "  source (a file of the folder that was read, or the balancer), the seed, and the file that it copies or",
            "  was made from, or both files and the second one's weight, as far as the balancer knows.",
            "- Made images are derived from the real ones: what restricts the use of these restricts theirs.",
            "",
        ]
    )
