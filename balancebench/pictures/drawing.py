"""What there is to draw: an order for each picture, with the digest of all that it will be drawn from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from balancebench.config import JSON
from balancebench.leaderboard.picture_manifest import Picture, PictureEntry

__all__ = ["Drawing", "PictureOrder", "file_stems", "sentences"]

REVISION = 3
"""Raise it whenever the same data gives other pictures: those drawn before are drawn again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A drawn picture; the caption says below it what it shows and what was left out."""

    content: bytes
    suffix: Literal["svg", "png"]
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOrder:
    """A picture to draw.

    source: all that it depends on besides its texts, as JSON: SHA-256s of results, labels, numbers.
    draw: returns None where the data turns out to hold nothing to show.
    """

    picture: Picture
    source: JSON
    draw: Callable[[], Drawing | None]

    @property
    def source_sha256(self) -> str:
        """The digest of the data, the texts and the revision of the drawing."""
        texts = [self.picture.kind, self.picture.title, self.picture.alt, REVISION]
        return hashlib.sha256(json.dumps([texts, self.source], sort_keys=True, allow_nan=False).encode()).hexdigest()

    def entry(self, file: str, drawing: Drawing) -> PictureEntry:
        """Return what the manifest says of this picture once it is drawn."""
        return PictureEntry(
            **self.picture.model_dump(),
            file=file,
            caption=drawing.caption,
            sha256=hashlib.sha256(drawing.content).hexdigest(),
            source_sha256=self.source_sha256,
        )


def file_stems(orders: Sequence[PictureOrder]) -> list[str]:
    """Return a file name without suffix for each order, of lower-case letters, digits, "-" and "_", all different."""
    stems: list[str] = []
    for order in orders:
        about = order.picture
        labels = [about.kind, about.dataset, about.imbalancer, about.classifier, about.balancer]
        slug = "-".join(re.sub(r"[^a-z0-9_]+", "-", label.lower()).strip("-") for label in labels if label)[:100]
        stem, number = slug, 1
        while stem in stems:
            number += 1
            stem = f"{slug}-{number}"
        stems.append(stem)
    return stems


def sentences(*parts: str) -> str:
    """Return the parts that are not empty, as one text."""
    return " ".join(part for part in parts if part)
