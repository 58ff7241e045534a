"""What `synthesise` leaves: a balancer's new images, made once and shared by all classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from balancebench.artefacts.arrays import read_images, write_images, write_json
from balancebench.data import LabelledImages
from balancebench.store import Store
from balancebench.synthesis.degenerate import ImageFigures

__all__ = ["SynthesisDescription", "SynthesisedImages"]

DESCRIPTION, IMAGES = "synthetic.json", "synthetic"


class SynthesisDescription(BaseModel):
    """How many images were made, of each class and in all.

    figures_K: how they compare with the class's real ones, None for classes without images of origin SYNTHETIC; None
    altogether where nothing was made, and in what versions before 0.3.0 left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    counts_K: tuple[int, ...]
    figures_K: tuple[ImageFigures | None, ...] | None = None

    @classmethod
    def read(cls, store: Store, key: str) -> SynthesisDescription:
        """Return the description of a finished step's images."""
        return store.files(key).parsed(DESCRIPTION, cls.model_validate_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisedImages:
    """The images that a balancer made, or None where no class was short of any; and figures of each class of them."""

    images: LabelledImages | None
    figures_K: tuple[ImageFigures | None, ...] | None = None

    def write(self, folder: Path, class_count: int) -> None:
        """Write the images, how many they are, and their figures."""
        counts_K = (0,) * class_count if self.images is None else tuple(self.images.counts_K.tolist())
        if self.images is not None:
            write_images(folder, IMAGES, self.images)
        description = SynthesisDescription(images=sum(counts_K), counts_K=counts_K, figures_K=self.figures_K)
        write_json(folder / DESCRIPTION, description.model_dump(mode="json"))

    @classmethod
    def read(cls, store: Store, key: str, like: LabelledImages) -> SynthesisedImages:
        """Map the images of a finished step, of the classes of `like`; their figures stay in the description."""
        files = store.files(key)
        if not files.has(f"{IMAGES}_images.npy"):
            return cls(images=None)
        return cls(images=read_images(files, IMAGES, like.class_names, like.superclass_K))
