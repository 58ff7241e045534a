"""Turns encoded images of any size and mode into arrays of one shape, in parallel, with bounded memory.

What each kind of file becomes: palettes their colours; transparency (alpha, a transparent colour) composed over
the fill colour; 16-bit grey scaled to 0..255; CMYK and the like converted by Pillow; EXIF orientation applied;
of an animation the first frame. How they are brought to size: `balancebench.synthesis.image_fit`.

Axis suffixes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from balancebench.contracts import LoadContext
from balancebench.errors import DataError
from balancebench.loading.options import FileImageOptions
from balancebench.synthesis.image_fit import fit_image, pixels_CHW

__all__ = ["BATCH_SIZE", "DecodedImages", "EncodedImage", "EncodedImages", "decode_image", "decode_splits"]

# Bitmaps only: Pillow would hand PostScript to an interpreter. JPEG stands for the MPO of cameras too.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
BATCH_SIZE = 64
NAMED_AT_MOST = 10
EXIF_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image file's path or bytes, and the name an error calls it by."""

    name: str
    data: Path | bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedImages:
    """The images of one split, `count` of them, in batches that are read only when their turn comes."""

    count: int
    batches: Iterable[Sequence[EncodedImage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedImages:
    """The images of one split, uint8, and which of the encoded ones they are: int64, ascending, all but broken ones."""

    images_NCHW: NDArray[np.uint8]
    kept_N: NDArray[np.int64]


def decode_splits(
    splits: Mapping[str, EncodedImages], options: FileImageOptions, context: LoadContext
) -> dict[str, DecodedImages]:
    """Return the images of each split, memory-mapped from files in the scratch folder.

    Memory holds a few batches, whatever the number of images. Raises DataError that names the broken images (at most
    ten, and their number), and, where `size` is left out, those that differ in size from the first. With `on_broken`
    "skip" broken images are left out, and readers of the results are told how many; no split may lose all of them.
    """
    total = sum(encoded.count for encoded in splits.values())
    done = 0
    shape: tuple[int, ...] | None = None
    unfit: list[str] = []
    broken: dict[str, list[str]] = {split: [] for split in splits}
    kept: dict[str, list[int]] = {split: [] for split in splits}
    # A folder of its own: a second load must not cut off what the first one's arrays are mapped to.
    folder = Path(mkdtemp(prefix="decoded-", dir=context.scratch))
    context.progress(0, total, "decoding images")
    Image.init()  # before there are threads: Pillow registers its formats on first use
    with ThreadPoolExecutor(_thread_count()) as pool:
        for split, encoded in splits.items():
            with (folder / f"{split}.npy").open("wb") as file:
                position = 0
                for batch, decoded in _in_order(pool, encoded.batches, options):
                    for index, (source, image_CHW) in enumerate(zip(batch, decoded, strict=True), position):
                        if isinstance(image_CHW, str):
                            broken[split].append(f"{source.name} ({image_CHW})")
                            continue
                        shape = shape or image_CHW.shape
                        if file.tell() == 0:
                            _write_header(file, (encoded.count, *shape))
                        if image_CHW.shape != shape:
                            unfit.append(f"{source.name} ({_pixels(image_CHW.shape)}, others {_pixels(shape)})")
                        file.write(image_CHW.data)
                        kept[split].append(index)
                    position += len(batch)
                    done += len(batch)
                    context.progress(done, total, "decoding images")
                if shape is not None and 0 < len(kept[split]) < encoded.count:
                    file.seek(0)
                    _write_header(file, (len(kept[split]), *shape))  # as long as the first: NumPy leaves room
    all_broken = [text for of_split in broken.values() for text in of_split]
    if unfit or (all_broken and options.on_broken == "refuse"):
        raise DataError(_unfit_message([*all_broken, *unfit], total))
    for split, of_split in broken.items():
        if of_split and not kept[split]:
            raise DataError(_unfit_message(of_split, len(of_split)))
    if all_broken:
        context.note("broken_images_left_out", {split: len(texts) for split, texts in broken.items() if texts})
        context.warn(f"left out: {_unfit_message(all_broken, total)}")
    return {
        split: DecodedImages(
            images_NCHW=np.load(folder / f"{split}.npy", mmap_mode="r", allow_pickle=False),
            kept_N=np.array(kept[split], dtype=np.int64),
        )
        for split in splits
    }


def decode_image(data: Path | bytes, options: FileImageOptions) -> NDArray[np.uint8]:
    """Return one image as CHW uint8, C 1 (grey) or 3; raises what Pillow raises for a broken file."""
    with Image.open(data if isinstance(data, Path) else io.BytesIO(data), formats=FORMATS) as opened:
        opened.load()
        image = _opaque(_upright(opened), options.fill)
    fitted = image if options.size is None else fit_image(image, (options.size, options.size), options)
    return pixels_CHW(fitted, 1 if options.channels == "grey" else 3)


def _in_order(
    pool: ThreadPoolExecutor, batches: Iterable[Sequence[EncodedImage]], options: FileImageOptions
) -> Iterator[tuple[Sequence[EncodedImage], list[NDArray[np.uint8] | str]]]:
    """Decode batches in parallel and yield them in order, with only a few under way at a time."""
    under_way: deque[tuple[Sequence[EncodedImage], Future[list[NDArray[np.uint8] | str]]]] = deque()
    for batch in batches:
        under_way.append((batch, pool.submit(_decode_batch, batch, options)))
        if len(under_way) > 2 * _thread_count():
            first, future = under_way.popleft()
            yield first, future.result()
    for batch, future in under_way:
        yield batch, future.result()


def _decode_batch(batch: Sequence[EncodedImage], options: FileImageOptions) -> list[NDArray[np.uint8] | str]:
    """Return for each image its array, or the reason why there is none."""
    decoded: list[NDArray[np.uint8] | str] = []
    for source in batch:
        try:
            decoded.append(decode_image(source.data, options))
        except MemoryError:
            raise
        except UnidentifiedImageError:
            decoded.append("not a readable image")
        except Exception as error:  # noqa: BLE001 - Pillow raises nearly any kind for a broken file; each is reported
            decoded.append(" ".join(str(error).split()) or type(error).__name__)
    return decoded


def _upright(image: Image.Image) -> Image.Image:
    turn = TURNS.get(image.getexif().get(EXIF_ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)


def _opaque(image: Image.Image, fill: tuple[int, int, int]) -> Image.Image:
    """Return the image as RGB over the fill colour."""
    if image.mode.startswith("I"):
        image = _from_16_bit_grey(image)
    elif image.mode == "F":
        raise ValueError("pixels are floating-point numbers, whose range is not agreed on")
    if not image.has_transparency_data:
        return image.convert("RGB")
    canvas = Image.new("RGBA", image.size, (*fill, 255))
    canvas.alpha_composite(image.convert("RGBA"))
    return canvas.convert("RGB")


def _from_16_bit_grey(image: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255; Pillow's own conversion would clip at 255."""
    levels_HW = np.asarray(image).astype(np.int64)
    if levels_HW.min() < 0 or levels_HW.max() > 65535:
        raise ValueError("grey levels outside 0..65535")
    grey = Image.fromarray(((levels_HW * 255 + 32767) // 65535).astype(np.uint8))
    transparent_level = image.info.get("transparency")
    if isinstance(transparent_level, int):
        grey.putalpha(Image.fromarray(np.where(levels_HW == transparent_level, 0, 255).astype(np.uint8)))
    return grey


def _write_header(file: io.BufferedWriter, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, cast("dict[str, str]", header))


def _unfit_message(unfit: Sequence[str], total: int) -> str:
    more = f"; and {len(unfit) - NAMED_AT_MOST} more" if len(unfit) > NAMED_AT_MOST else ""
    hint = "; `size` brings images to one size" if any("others" in reason for reason in unfit) else ""
    return f"{len(unfit)} of {total} images cannot be used: {'; '.join(unfit[:NAMED_AT_MOST])}{more}{hint}"


def _pixels(shape: tuple[int, ...]) -> str:
    return f"{shape[2]}x{shape[1]} pixels"


def _thread_count() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, usable)
