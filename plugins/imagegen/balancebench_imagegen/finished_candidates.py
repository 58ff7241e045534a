"""The candidates that a Stable Diffusion step has made, one after the other: what an interrupted one goes on from.

pixels.bin holds the images at the training images' size, one after the other; candidates.jsonl a line for each, which
is written after its pixels and holds their SHA-256. What follows the last whole pair is cut off and made again.

Axis suffixes: C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Candidate", "FinishedCandidates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A candidate of a class. flagged: it was dropped.

    similarities: CLIP's of the image to the name of each class; None where nobody asked, or it was flagged before.
    """

    label: int
    prompt: str
    flagged: bool
    similarities: tuple[float, ...] | None = None


class FinishedCandidates:
    """Candidates in the order in which they were made."""

    def __init__(self, folder: Path, image_shape: tuple[int, ...]) -> None:
        """image_shape: (C, H, W) of all images."""
        self._pixels = folder / "pixels.bin"
        self._lines = folder / "candidates.jsonl"
        self._shape = image_shape

    def read(self) -> list[tuple[Candidate, NDArray[np.uint8]]]:
        """Return the candidates with their images_CHW, and cut off what is not whole."""
        read: list[tuple[Candidate, NDArray[np.uint8]]] = []
        if not self._pixels.exists():
            return read
        size = int(np.prod(self._shape))
        lines_bytes = 0
        with self._lines.open("a+b") as lines, self._pixels.open("r+b") as pixels:
            lines.seek(0)
            for line in lines:
                image_bytes = pixels.read(size)
                if not line.endswith(b"\n"):
                    break
                described = json.loads(line)
                if described.pop("sha256") != hashlib.sha256(image_bytes).hexdigest():
                    break
                similarities = described.pop("similarities")
                candidate = Candidate(**described, similarities=similarities and tuple(similarities))
                read.append((candidate, np.frombuffer(image_bytes, dtype=np.uint8).reshape(self._shape)))
                lines_bytes += len(line)
            lines.truncate(lines_bytes)
            pixels.truncate(len(read) * size)
        return read

    def add(self, candidate: Candidate, image_CHW: NDArray[np.uint8]) -> None:
        """Write a candidate behind the others."""
        image_bytes = image_CHW.tobytes()
        with self._pixels.open("ab") as pixels:
            pixels.write(image_bytes)
        described = asdict(candidate) | {"sha256": hashlib.sha256(image_bytes).hexdigest()}
        with self._lines.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(described) + "\n")
