"""Finds the four IDX files of an MNIST-like data set and tells the published ones from others.

Imports nothing heavy: a suite is planned with it.
"""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

from balancebench.builtin.datasets.options import TorchvisionOptions
from balancebench.errors import DataError

__all__ = ["IDX_FILES", "IDX_FOLDERS", "PUBLISHED_MD5", "find_idx_files", "idx_identity", "where_idx_files_go"]

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

IDX_FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
"""The folder each data set has under a root, which is also the name of its torchvision class."""

PUBLISHED_MD5 = {
    "mnist": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion_mnist": (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    "kmnist": (
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
}
"""MD5 of the published files of `IDX_FILES`, gzipped."""


def find_idx_files(name: str, root: Path) -> dict[str, Path]:
    """Return where each of `IDX_FILES` lies, unzipped or as .gz, in ROOT/FOLDER/raw or in ROOT; {} unless all do."""
    for folder in (root / IDX_FOLDERS[name] / "raw", root):
        path_of: dict[str, Path] = {}
        for file in IDX_FILES:
            for path in (folder / file, folder / f"{file}.gz"):
                if path.is_file():
                    path_of.setdefault(file, path)
        if len(path_of) == len(IDX_FILES):
            return path_of
    return {}


def where_idx_files_go(name: str, root: Path) -> str:
    """Return the clause that tells a user what to put where."""
    return f"put {', '.join(IDX_FILES)} (each as it is or as .gz) into {root / IDX_FOLDERS[name] / 'raw'} or {root}"


def idx_identity(name: str, options: TorchvisionOptions) -> dict[str, str] | None:
    """Return the CRC-32 of each unzipped file, or None where the files are (or will be) the published ones.

    Files of the same name with other content (reordered, relabelled) must not share results with the published set.
    Only a root that the options give is looked into. Raises DataError where it lacks the files and may not get them.
    """
    if options.root is None:
        return None
    files = find_idx_files(name, options.root)
    if not files:
        if not options.download:
            raise DataError(f"{name}: no files, and download is off; {where_idx_files_go(name, options.root)}")
        return None
    if all(_is_published(files[file], md5) for file, md5 in zip(IDX_FILES, PUBLISHED_MD5[name], strict=True)):
        return None
    return {file: f"{_crc32(path):08x}" for file, path in files.items()}


def _is_published(path: Path, md5: str) -> bool:
    """Say whether the file is the published one, or was unzipped from the published one beside it."""
    archive = path if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    if not archive.is_file():
        return False
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return digest == md5 and (path == archive or _crc32(path) == _crc32(archive))


def _crc32(path: Path) -> int:
    with path.open("rb") as file:
        if path.suffix == ".gz":  # the last eight bytes of gzip: CRC-32 and length of what was packed (RFC 1952)
            file.seek(max(path.stat().st_size - 8, 0))
            return int.from_bytes(file.read(4), "little")
        crc = 0
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
        return crc
