"""The options that datasets of image files share; imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from balancebench.config import Options
from balancebench.synthesis.fit_options import FitOptions

__all__ = ["DatasetOptions", "FileImageOptions"]


class DatasetOptions(Options):
    """What every built-in dataset can be asked."""

    images_per_class: int | None = Field(
        None, ge=1, description="keep at most this many training images of each class, the first ones"
    )
    superclasses: dict[str, Annotated[list[str], Field(min_length=1)]] | None = Field(
        None, min_length=1, description="super-class to the names of its classes; every class exactly once"
    )


class FileImageOptions(FitOptions, DatasetOptions):
    """How encoded images (JPEG, PNG, ...) of any size and mode become arrays of one shape."""

    size: int | None = Field(
        None, ge=1, le=4096, description="side of the square images; left out, all files must have one size already"
    )
    channels: Literal["rgb", "grey"] = Field("rgb", description="three colour channels, or one of grey")
    on_broken: Literal["refuse", "skip"] = Field(
        "refuse", description="files that are no readable image: an error that names them, or left out and counted"
    )
