"""Images that already lie on disk, as a balancer: sets made elsewhere, compared on the same footing.

Each class that is short of images gets as many as it lacks, drawn without replacement from its own images in a folder
(POOL/CLASS/*.png) or a parquet file (columns image, label). Axis suffixes: C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from balancebench import Balancer, BalancerError, LabelledImages, SynthesisContext
from balancebench.synthesis.fill import fill_classes
from balancebench.synthesis.image_fit import fit_made_image, pixels_CHW
from balancebench.synthesis.target import missing_counts
from balancebench_imagegen.generated_pool import MANIFEST, GeneratedPool
from balancebench_imagegen.options import ImagePoolOptions
from balancebench_imagegen.pool_files import list_class_folders

__all__ = ["ImagePool"]

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # bitmaps: Pillow interprets PostScript
LARGEST_PIXELS = 2**26
DECODE_AT_ONCE = 256
NAMED_AT_MOST = 5

Encoded = Path | bytes


class ImagePool(Balancer[ImagePoolOptions]):
    """Fills classes with images of a pool."""

    def synthesise(self, train: LabelledImages, context: SynthesisContext) -> LabelledImages | None:
        """Return the drawn images, or None where no class is short of any.

        Raises BalancerError where the pool has too few images of a class, with the shortfall of each, and where an
        image cannot be read.
        """
        missing_K = missing_counts(self.options.target, train, from_elsewhere=True)
        if not missing_K.any():
            return None
        pool = self._pool(train.class_names)
        short = [
            f"{name!r} needs {missing} and has {len(pool.get(name, ()))}"
            for name, missing in zip(train.class_names, missing_K, strict=True)
            if missing > len(pool.get(name, ()))
        ]
        if short:
            more = f"; and {len(short) - NAMED_AT_MOST} more classes" if len(short) > NAMED_AT_MOST else ""
            raise BalancerError(
                f"{self.options.path} has too few images: {'; '.join(short[:NAMED_AT_MOST])}{more}; add images, or "
                "lower `target`"
            )
        chosen: list[Encoded] = []
        for name, missing in zip(train.class_names, missing_K, strict=True):
            if missing:
                order = context.rng.permutation(len(pool[name]))[:missing]
                chosen += [pool[name][index] for index in order]
        channels, rows, columns = train.images_NCHW.shape[1:]
        waiting = iter(chosen)

        def make(labels_B: NDArray[np.int64]) -> NDArray[np.uint8]:
            fitted = [
                fit_made_image(self._decode(next(waiting)), (rows, columns), self.options, context.seed)
                for _ in labels_B
            ]
            return np.stack([pixels_CHW(image, channels) for image in fitted])

        return fill_classes(train, missing_K, make, batch_size=DECODE_AT_ONCE, progress=context.progress)

    def _pool(self, class_names: Sequence[str]) -> Mapping[str, Sequence[Encoded]]:
        path = self.options.path
        if path.suffix.lower() == ".parquet":
            return _read_parquet(path, self.options.image_column, self.options.label_column, class_names)
        if (path / MANIFEST).exists():
            GeneratedPool(path)  # refuses a manifest that does not fit its files
        return list_class_folders(path)

    def _decode(self, source: Encoded) -> Image.Image:
        name = source if isinstance(source, Path) else f"an image in {self.options.path}"
        try:
            with Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=FORMATS) as opened:
                if opened.width * opened.height > LARGEST_PIXELS:
                    raise BalancerError(f"{name} has {opened.width}x{opened.height} pixels; at most {LARGEST_PIXELS}")
                return ImageOps.exif_transpose(opened).convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise BalancerError(f"{name} cannot be read as an image: {error}") from error


def _read_parquet(
    path: Path, image_column: str, label_column: str, class_names: Sequence[str]
) -> dict[str, list[bytes]]:
    """Return the encoded images of each class; images are bytes, or tables with a column `bytes`."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            missing = sorted({image_column, label_column} - set(file.schema_arrow.names))
            if missing:
                raise BalancerError(f"{path} has no column {missing[0]!r}; it has {', '.join(file.schema_arrow.names)}")
            rows: list[dict[str, Any]] = file.read([image_column, label_column]).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise BalancerError(f"{path} cannot be read as parquet: {error}") from error
    pool: dict[str, list[bytes]] = {}
    for index, row in enumerate(rows):
        label, image = row[label_column], row[image_column]
        encoded = image["bytes"] if isinstance(image, dict) and "bytes" in image else image
        if not isinstance(encoded, bytes):
            raise BalancerError(f"{path}, row {index}: column {image_column!r} holds no encoded image")
        if isinstance(label, int) and not 0 <= label < len(class_names):
            raise BalancerError(f"{path}, row {index}: class id {label} is none of 0..{len(class_names) - 1}")
        pool.setdefault(class_names[label] if isinstance(label, int) else str(label), []).append(encoded)
    return pool
