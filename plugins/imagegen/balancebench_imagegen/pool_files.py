"""Lists image files in class folders and tells files apart by content, quickly. Light."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from balancebench import BalancerError
from balancebench_imagegen.options import ImagePoolOptions

__all__ = ["digest_of_files", "list_class_folders", "pool_identity"]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
POOL_EDGE_BYTES = 1024
PARQUET_EDGE_BYTES = 2**20


def list_class_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the image files of each sub-folder, by its name, sorted; hidden ones are left out.

    Raises BalancerError where there is no folder, or no sub-folder in it.
    """
    if not folder.is_dir():
        raise BalancerError(f"there is no folder {folder}: `path` names a folder with one sub-folder of images a class")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not classes:
        raise BalancerError(f"{folder} has no sub-folders: images must lie in one sub-folder a class")
    return {
        class_folder.name: sorted(
            path for path in class_folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
        )
        for class_folder in classes
    }


def digest_of_files(root: Path, files: Iterable[Path], *, edge_bytes: int) -> str:
    """Return the SHA-256 of the files' names below `root`, their sizes, and their first and last `edge_bytes` bytes.

    It reads little of large files; a change in the middle of one that keeps its size goes unnoticed.
    """
    digest = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            size = path.stat().st_size
            head = file.read(edge_bytes)
            file.seek(max(len(head), size - edge_bytes))
            digest.update(f"{path.relative_to(root).as_posix()}\0{size}\n".encode("utf-8", "surrogateescape"))
            digest.update(head)
            digest.update(file.read())
    return digest.hexdigest()


def pool_identity(options: ImagePoolOptions) -> str:
    """Return the digest of the files of an image pool. Raises BalancerError where they are not there."""
    path = options.path
    if path.suffix.lower() != ".parquet":
        files = [file for of_class in list_class_folders(path).values() for file in of_class]
        return digest_of_files(path, files, edge_bytes=POOL_EDGE_BYTES)
    if not path.is_file():
        raise BalancerError(f"there is no file {path}")
    # The name of the one file says nothing of what is in it, and must not decide.
    return digest_of_files(path, [path], edge_bytes=PARQUET_EDGE_BYTES)
