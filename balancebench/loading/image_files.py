"""Lists the images of a folder, by split and class, without opening one. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from balancebench.errors import DataError, nearest
from balancebench.plain_text import visible

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageFile",
    "ImageTree",
    "digest_of_files",
    "list_image_tree",
    "list_visible_files",
    "nearest_beside",
    "require_same_classes",
]

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One image: its path below the root, with slashes, its size, and its class."""

    path: str
    size_bytes: int
    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTree:
    """The images of a folder.

    files: split ("train", "test", "validation") to its images, ordered by class and name; a folder without splits has
    all of them under "train". superclass_K: None unless asked for. links_left_out: symbolic links that lead out of
    the root, which are not followed.
    """

    class_names: tuple[str, ...]
    superclass_K: tuple[str, ...] | None
    files: dict[str, tuple[ImageFile, ...]]
    links_left_out: int

    def digest(self) -> str:
        """Return the SHA-256 of the paths and sizes of all images."""
        return digest_of_files((file.path, file.size_bytes) for files in self.files.values() for file in files)


def digest_of_files(files: Iterable[tuple[str, int]]) -> str:
    """Return the SHA-256 of (path, size in bytes), in the order of the paths, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path, size_bytes in sorted(files):
        digest.update(f"{path}\0{size_bytes}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def list_image_tree(root: Path, *, superclass_level: bool, one_tree: bool) -> ImageTree:
    """List ROOT/train/CLASS/* and ROOT/test/CLASS/* (ROOT/validation or ROOT/val too), or, as `one_tree`, ROOT/CLASS/*.

    The names of splits may be capitalised in any way (Train, TEST).

    Raises DataError, naming the place, where the root or a split is missing, a class folder has no image or holds
    folders, an image lies outside a class folder, or splits have different classes.
    """
    walk = _Walk(root)
    folder_of = {"train": ""} if one_tree else _split_folders(root, walk)
    if one_tree:
        _refuse_split_folders(root, walk)
    classes = {split: walk.classes(folder, superclass_level) for split, folder in folder_of.items()}
    require_same_classes(str(root), {split: list(of_split) for split, of_split in classes.items()})
    superclass_of = {name: superclass for name, (superclass, _) in classes["train"].items()}
    for of_split in classes.values():
        for name, (superclass, folder) in of_split.items():
            if superclass != superclass_of[name]:
                raise DataError(f"{root / folder}: class {name!r} is in super-class {superclass_of[name]!r} elsewhere")
    class_names = tuple(sorted(superclass_of))
    return ImageTree(
        class_names=class_names,
        superclass_K=tuple(superclass_of[name] for name in class_names) if superclass_level else None,
        files={
            split: tuple(
                ImageFile(path, size_bytes, label)
                for label, name in enumerate(class_names)
                for path, size_bytes in walk.images(of_split[name][1])
            )
            for split, of_split in classes.items()
        },
        links_left_out=len(walk.links_left_out),
    )


def _folders_by_split(root: Path, walk: _Walk) -> dict[str, str]:
    """Return "train", "test", "validation" and "val" -> the folder of this name, however it is capitalised."""
    by_split: dict[str, str] = {}
    for entry in walk.entries("")[0]:
        split = entry.name.lower()
        if split not in ("train", "test", "validation", "val"):
            continue
        if split in by_split:
            raise DataError(f"{root} has the folders {by_split[split]} and {entry.name}; keep one")
        by_split[split] = entry.name
    return by_split


def _refuse_split_folders(root: Path, walk: _Walk) -> None:
    """Raise DataError where a root that is to hold class folders holds splits."""
    by_split = _folders_by_split(root, walk)
    if "train" in by_split and len(by_split) > 1:
        train = by_split["train"]
        raise DataError(f"{root} has a {train} folder: leave `test_fraction` out, or set `root` to {root / train}")


def _split_folders(root: Path, walk: _Walk) -> dict[str, str]:
    """Return split -> its folder."""
    by_split = _folders_by_split(root, walk)
    if "train" not in by_split:
        raise DataError(f"{root} has no train and test folders; set `test_fraction` if it holds class folders")
    train = by_split["train"]
    if "test" not in by_split:
        raise DataError(f"{root} has a {train} but no test folder; set `root` to {root / train} and a `test_fraction`")
    if {"validation", "val"} <= set(by_split):
        raise DataError(f"{root} has a {by_split['validation']} and a {by_split['val']} folder; keep one")
    folder_of = {"train": train, "test": by_split["test"]}
    if validation := by_split.get("validation", by_split.get("val")):
        folder_of["validation"] = validation
    return folder_of


def require_same_classes(path: str, classes: dict[str, Sequence[str]]) -> None:
    """Raise DataError, naming the classes, unless every split has those of "train"."""
    for split, names in classes.items():
        for lacking, having, missing in (
            (split, "train", sorted(set(classes["train"]) - set(names))),
            ("train", split, sorted(set(names) - set(classes["train"]))),
        ):
            if missing:
                shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
                raise DataError(f"{path}: {lacking} has no images of classes that {having} has: {shown}")


def list_visible_files(root: Path) -> list[tuple[str, int]]:
    """Return (path below the root, size in bytes) of every file in it, hidden ones left out."""
    walk = _Walk(root)
    pending, files = [""], list[tuple[str, int]]()
    while pending:
        folder = pending.pop()
        inner, plain = walk.entries(folder)
        pending.extend(below(folder, entry) for entry in inner)
        files.extend((below(folder, entry), size_of(entry)) for entry in plain)
    return files


class _Walk:
    """Reads the folders below a root; hidden entries and links that leave the root are left out."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"there is no folder {root}{nearest_beside(root)}")
        self._root = root
        self._resolved_root = root.resolve()
        self.links_left_out: set[str] = set()

    def entries(self, folder: str) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
        """Return the folders and the files in `folder`, each sorted by name."""
        try:
            with os.scandir(self._root / folder) as entries:
                visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"{self._root / folder} cannot be read: {error.strerror}") from error
        folders, files = list[os.DirEntry[str]](), list[os.DirEntry[str]]()
        for entry in visible:
            if entry.is_symlink() and not self._leads_inside(entry):
                self.links_left_out.add(entry.path)
            else:
                (folders if entry.is_dir() else files).append(entry)
        return folders, files

    def _leads_inside(self, entry: os.DirEntry[str]) -> bool:
        """Say whether a link leads to something below the root; raises DataError where it leads to itself."""
        try:
            return Path(entry.path).resolve().is_relative_to(self._resolved_root)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{visible(entry.path)} is a link that leads to itself; delete it") from error

    def classes(self, folder: str, superclass_level: bool) -> dict[str, tuple[str, str]]:
        """Return each class's super-class ("" without that level) and folder."""
        classes: dict[str, tuple[str, str]] = {}
        level = self._folders_only(folder)
        above = [("", folder)] if not superclass_level else [(entry.name, below(folder, entry)) for entry in level]
        for superclass, parent in above:
            for entry in self._folders_only(parent) if superclass_level else level:
                if entry.name in classes:
                    raise DataError(
                        f"{self._root / folder}: class {entry.name!r} is in super-classes "
                        f"{classes[entry.name][0]!r} and {superclass!r}; class names must differ"
                    )
                classes[entry.name] = (superclass, below(parent, entry))
        if not classes:
            raise DataError(f"{self._root / folder} has no class folders{self._about_links()}")
        return classes

    def images(self, folder: str) -> list[tuple[str, int]]:
        """Return path and size of the images in a class folder."""
        folders, files = self.entries(folder)
        if folders:
            raise DataError(
                f"{self._root / folder} holds the folder {folders[0].name!r}; images must lie directly in their class "
                "folder (`superclass_level = true` reads SUPERCLASS/CLASS)"
            )
        images = [(below(folder, entry), size_of(entry)) for entry in files if _is_image(entry.name)]
        if not images:
            raise DataError(f"class folder {self._root / folder} has no images{self._about_links()}")
        return images

    def _folders_only(self, folder: str) -> list[os.DirEntry[str]]:
        """Return the folders in a folder where images would belong to no class."""
        folders, files = self.entries(folder)
        stray = [entry.name for entry in files if _is_image(entry.name)]
        if stray:
            counted = "an image" if len(stray) == 1 else f"{len(stray)} images"
            raise DataError(f"{self._root / folder} has {counted} outside any class folder: {stray[0]!r}")
        return folders

    def _about_links(self) -> str:
        return " (links that lead out of the root are not followed)" if self.links_left_out else ""


def below(folder: str, entry: os.DirEntry[str]) -> str:
    """Return the path of an entry of `folder`."""
    return f"{folder}/{entry.name}" if folder else entry.name


def size_of(entry: os.DirEntry[str]) -> int:
    """Return the size in bytes; raises DataError where the file cannot be found (a link to nowhere)."""
    try:
        return entry.stat().st_size
    except OSError as error:
        raise DataError(f"{entry.path} cannot be read: {error.strerror}") from error


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def nearest_beside(path: Path) -> str:
    """Return the hint that names what is there beside a path that is not."""
    try:
        beside = [entry.name for entry in os.scandir(path.parent) if not entry.name.startswith(".")]
    except OSError:
        return f", nor {path.parent}"
    return nearest(path.name, beside)
