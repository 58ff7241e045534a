"""What there is to draw: an order for each picture, with the digest of all that it will be drawn from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from balancebench.config import JSON
from balancebench.leaderboard.pictures import PictureEntry, PictureKind

__all__ = ["Drawing", "PictureOrder", "file_stems", "sentences"]

REVISION = 1
"""Raise it whenever the same data gives other pictures: those drawn before are drawn again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A drawn picture; the caption says below it what it shows and what was left out."""

    content: bytes
    suffix: Literal["svg", "png"]
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureOrder:
    """A picture to draw. classifier, balancer: None where it is about all of them.

    title: what is shown, as a phrase. subject: dataset, imbalancer, classifier and seeds. alt: for who cannot see it.
    source: all that the picture depends on, as JSON: SHA-256s of files, labels, numbers.
    draw: returns None where the data turns out to hold nothing to show.
    """

    kind: PictureKind
    dataset: str
    imbalancer: str
    classifier: str | None = None
    balancer: str | None = None
    title: str
    subject: str
    alt: str
    source: JSON
    draw: Callable[[], Drawing | None]

    @property
    def source_sha256(self) -> str:
        """The digest of the data, the texts and the revision of the drawing."""
        texts = [self.kind, self.title, self.subject, self.alt, REVISION]
        return hashlib.sha256(json.dumps([texts, self.source], sort_keys=True, allow_nan=False).encode()).hexdigest()

    def entry(self, file: str, drawing: Drawing) -> PictureEntry:
        """Return what the manifest says of this picture once it is drawn."""
        return PictureEntry(
            file=file,
            kind=self.kind,
            dataset=self.dataset,
            imbalancer=self.imbalancer,
            classifier=self.classifier,
            balancer=self.balancer,
            title=f"{self.title}: {self.subject}",
            alt=self.alt,
            caption=drawing.caption,
            sha256=hashlib.sha256(drawing.content).hexdigest(),
            source_sha256=self.source_sha256,
        )


def file_stems(orders: Sequence[PictureOrder]) -> list[str]:
    """Return a file name without suffix for each order, of lower-case letters, digits, "-" and "_", all different."""
    stems: list[str] = []
    for order in orders:
        labels = [order.kind, order.dataset, order.imbalancer, order.classifier, order.balancer]
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
