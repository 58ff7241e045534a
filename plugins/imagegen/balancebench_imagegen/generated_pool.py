"""A folder of generated images that runs, and people, share: POOL/CLASS/SEED.png, and a line in its manifest for each.

What an image is made from decides whether it is the one that is wanted: model, prompt, seed and settings, all of which
stand in manifest.jsonl. Flagged images have a line and no file. `image_pool` reads the same folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from balancebench import BalancerError

__all__ = ["MANIFEST", "GeneratedImage", "GeneratedPool"]

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedImage:
    """What an image was made from, and what came out. model: a hub id, a digest of a folder's files, or tiny_random.

    height, width: of the file in pixels, as the pipeline made it. flagged: by the safety checker; such an image has no
    file and no digest.
    """

    class_name: str
    prompt: str
    seed: int
    model: str
    revision: str
    guidance: float
    steps: int
    scheduler: str
    height: int
    width: int
    flagged: bool = False
    file: str = ""
    sha256: str = ""

    @property
    def recipe(self) -> str:
        """What it was made from, as one text."""
        made_from = {name: value for name, value in asdict(self).items() if name not in ("flagged", "file", "sha256")}
        return json.dumps(made_from, sort_keys=True)


class GeneratedPool:
    """The images of a pool, by what they were made from. Another process may add to it; lines are written whole."""

    def __init__(self, folder: Path) -> None:
        """Read the manifest; raises BalancerError where it cannot be read or does not fit its files."""
        self._folder = folder
        self._by_recipe: dict[str, GeneratedImage] = {}
        path = folder / MANIFEST
        if folder.is_dir() and not path.exists() and any(folder.iterdir()):
            raise BalancerError(
                f"{folder} is not empty and has no {MANIFEST}: `pool` is a new folder, or one of its own"
            )
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text and not text.endswith("\n"):  # a process ended while it wrote its last line
            text = text[: text.rfind("\n") + 1]
            temporary = path.with_suffix(".unfinished")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                image = GeneratedImage(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise BalancerError(f"{path}, line {number}, cannot be read: {error}") from error
            if not image.flagged and not (folder / image.file).is_file():
                raise BalancerError(f"{path}, line {number}, names {image.file}, which is not there: take the line out")
            self._by_recipe[image.recipe] = image

    def __len__(self) -> int:
        return len(self._by_recipe)

    def find(self, wanted: GeneratedImage) -> tuple[GeneratedImage, Image.Image | None] | None:
        """Return the image made from the same, None for its picture where it was flagged; None where there is none.

        Raises BalancerError where its file is not the one that was written.
        """
        image = self._by_recipe.get(wanted.recipe)
        if image is None or image.flagged:
            return None if image is None else (image, None)
        path = self._folder / image.file
        if hashlib.sha256(path.read_bytes()).hexdigest() != image.sha256:
            raise BalancerError(f"{path} is not the image that {MANIFEST} says: delete it and its line")
        with Image.open(path, formats=("PNG",)) as opened:
            return image, opened.convert("RGB")

    def add(self, wanted: GeneratedImage, picture: Image.Image, *, flagged: bool) -> None:
        """Write an image that was made, the file first and its line last; of a flagged one the line alone."""
        described = asdict(wanted) | {"flagged": flagged}
        if not flagged:
            file = f"{_folder_name(wanted.class_name)}/{wanted.seed:016x}_{_short(wanted.recipe)}.png"
            path = self._folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".unfinished")
            picture.save(temporary, "PNG")
            described |= {"file": file, "sha256": hashlib.sha256(temporary.read_bytes()).hexdigest()}
            temporary.replace(path)
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / MANIFEST).open("a", encoding="utf-8") as manifest:
            manifest.write(json.dumps(described) + "\n")
        self._by_recipe[wanted.recipe] = _image_of(described)


def _image_of(described: Mapping[str, object]) -> GeneratedImage:
    return GeneratedImage(**described)  # pyright: ignore[reportArgumentType] - it was one of its own kind before


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _folder_name(class_name: str) -> str:
    """Return the class's name as a folder; raises BalancerError where it cannot be one."""
    if not class_name or class_name.startswith(".") or any(character in class_name for character in "/\\\0"):
        raise BalancerError(f"the class name {class_name!r} cannot be a folder of a pool: leave `pool` out")
    return class_name
