"""Rows of image arrays that are read only where they are asked for: what stands for a large set of images.

Sets below LARGE_BYTES are plain arrays. From there on, choosing rows and joining sets copies no pixels; what was read
of a memory-mapped file is let go again, so that a process never holds the file.

Axis suffixes: N images, M images chosen, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
import mmap
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ImageRows", "is_large", "join_rows", "row_chunks", "rows_of", "take_rows"]

LARGE_BYTES = 2**29
CHUNK_BYTES = 2**24  # of a mapped file that is in the process's memory at a time


class ImageRows(np.lib.mixins.NDArrayOperatorsMixin):
    """Images that lie in other arrays, NCHW: image i is row rows_N[i] of `sources`, counted one after the other.

    It passes for an NDArray[uint8]. Indexing it by a number, a slice, indices or a mask reads those images and no
    others, into a new array. Everything else that an array can do works too, on a copy of all images in memory.
    """

    def __init__(self, sources: Sequence[NDArray[np.uint8]], rows_N: NDArray[np.int64]) -> None:
        self.rows_N = rows_N
        # Of np.memmap plain views, or every result would be one.
        self.sources = tuple(source if type(source) is np.ndarray else source.view(np.ndarray) for source in sources)
        self.shape = (len(rows_N), *sources[0].shape[1:])
        self.dtype = sources[0].dtype
        self.ndim = sources[0].ndim
        self._ends = np.cumsum([len(source) for source in sources])
        self._mappings = [mapping for source in sources if (mapping := _mapping_of(source)) is not None]

    def __len__(self) -> int:
        return len(self.rows_N)

    @property
    def nbytes(self) -> int:
        """The bytes of all images."""
        return len(self) * _row_bytes(self.shape)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        if isinstance(key, tuple):
            return np.asarray(self)[key]
        rows = np.asarray(self.rows_N[key])
        images_MCHW = np.empty((rows.size, *self.shape[1:]), dtype=self.dtype)
        self.read(rows.ravel(), images_MCHW)
        return images_MCHW.reshape(*rows.shape, *self.shape[1:])

    def read(self, rows_M: NDArray[np.int64], into_MCHW: NDArray[np.uint8]) -> None:
        """Copy the rows `rows_M` of the sources, fastest where they ascend, and let go of the mapped files."""
        step = max(1, CHUNK_BYTES // max(1, _row_bytes(self.shape)))
        for begin in range(0, len(rows_M), step):
            self._read_chunk(rows_M[begin : begin + step], into_MCHW[begin : begin + step])
            for mapping in self._mappings:
                _let_go(mapping)

    def _read_chunk(self, rows_M: NDArray[np.int64], into_MCHW: NDArray[np.uint8]) -> None:
        for source, begin, end in zip(self.sources, (0, *self._ends), self._ends, strict=False):
            here = np.flatnonzero((rows_M >= begin) & (rows_M < end))
            if len(here) == 0:
                continue
            rows = rows_M[here] - begin
            together = here[-1] - here[0] + 1 == len(here)
            if together and source.flags.c_contiguous:
                # Any mode but "raise", which would gather into a buffer first; the rows are in range.
                np.take(source, rows, axis=0, out=into_MCHW[here[0] : here[-1] + 1], mode="clip")
            else:
                into_MCHW[here] = source[rows]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a large set of images cannot be seen as one array without copying it into memory")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        whole = [np.asarray(value) if isinstance(value, ImageRows) else value for value in inputs]
        return getattr(ufunc, method)(*whole, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # NumPy and copy look for protocols; they must not read all images to find none
            raise AttributeError(name)
        return getattr(np.asarray(self), name)


def is_large(byte_count: int) -> bool:
    """Say whether a set of images of so many bytes is left where it lies."""
    return byte_count >= LARGE_BYTES


def rows_of(images_NCHW: NDArray[np.uint8] | ImageRows) -> ImageRows:
    """Return all rows of `images_NCHW`, as they are where they are rows already."""
    if isinstance(images_NCHW, ImageRows):
        return images_NCHW
    return ImageRows([images_NCHW], np.arange(len(images_NCHW), dtype=np.int64))


def take_rows(
    images_NCHW: NDArray[np.uint8] | ImageRows, indices_M: NDArray[np.int64]
) -> NDArray[np.uint8] | ImageRows:
    """Return the images at `indices_M`: a copy, or where they are large, ImageRows."""
    if not is_large(len(indices_M) * _row_bytes(images_NCHW.shape)):
        return np.asarray(images_NCHW[indices_M])
    rows = rows_of(images_NCHW)
    return ImageRows(rows.sources, rows.rows_N[indices_M])


def join_rows(parts: Sequence[NDArray[np.uint8] | ImageRows]) -> NDArray[np.uint8] | ImageRows:
    """Return the images of all parts, in their order: a copy, or where they are large, ImageRows.

    Raises ValueError where images differ in shape.
    """
    if not is_large(sum(part.nbytes for part in parts)):
        return np.concatenate([np.asarray(part) for part in parts])
    if len({part.shape[1:] for part in parts}) > 1:
        raise ValueError(f"images of different shapes cannot be joined: {[part.shape[1:] for part in parts]}")
    sources: list[NDArray[np.uint8]] = []
    begins: dict[int, int] = {}  # of sources by identity: a set and repeats of it share theirs
    count = 0
    joined_rows: list[NDArray[np.int64]] = []
    for rows in map(rows_of, parts):
        source_ends = np.cumsum([len(source) for source in rows.sources])
        moved_S = np.empty(len(rows.sources), dtype=np.int64)  # by how much each source's rows move
        for index, source in enumerate(rows.sources):
            if id(source) not in begins:
                begins[id(source)] = count
                sources.append(source)
                count += len(source)
            moved_S[index] = begins[id(source)] - (source_ends[index] - len(source))
        joined_rows.append(rows.rows_N + moved_S[np.searchsorted(source_ends, rows.rows_N, side="right")])
    return ImageRows(sources, np.concatenate(joined_rows))


def row_chunks(images_NCHW: NDArray[np.uint8] | ImageRows) -> Iterator[NDArray[np.uint8]]:
    """Yield the images in order, CHUNK_BYTES of them at a time; what was read of a mapped file is let go again."""
    step = max(1, CHUNK_BYTES // max(1, _row_bytes(images_NCHW.shape)))
    mapping = _mapping_of(images_NCHW)
    for begin in range(0, len(images_NCHW), step):
        yield images_NCHW[begin : begin + step]
        if mapping is not None and is_large(images_NCHW.nbytes):
            _let_go(mapping)


def _row_bytes(shape: Sequence[int]) -> int:
    return math.prod(shape[1:])  # uint8: a byte a value


def _mapping_of(array: object) -> mmap.mmap | None:
    """Return the read-only file mapping that an array looks into, or None."""
    read_only = False
    while isinstance(array, np.ndarray):
        # Of mode "c" the pages hold what was written to them, which letting go would undo.
        read_only |= isinstance(array, np.memmap) and array.mode == "r"
        array = array.base
    return array if read_only and isinstance(array, mmap.mmap) else None


def _let_go(mapping: mmap.mmap) -> None:
    """Take the mapping's pages out of the process's memory; they stay in the system's cache while it has room."""
    if sys.platform != "win32":
        mapping.madvise(mmap.MADV_DONTNEED)
