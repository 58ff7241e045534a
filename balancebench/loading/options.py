"""The options that datasets of image files share; imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from balancebench.config import Options

__all__ = ["DatasetOptions", "FileImageOptions"]

Channel = Annotated[int, Field(ge=0, le=255)]


class DatasetOptions(Options):
    """What every built-in dataset can be asked."""

    images_per_class: int | None = Field(
        None, ge=1, description="keep at most this many training images of each class, the first ones"
    )
    superclasses: dict[str, Annotated[list[str], Field(min_length=1)]] | None = Field(
        None, min_length=1, description="super-class to the names of its classes; every class exactly once"
    )


class FileImageOptions(DatasetOptions):
    """How encoded images (JPEG, PNG, ...) of any size and mode become arrays of one shape."""

    size: int | None = Field(
        None, ge=1, le=4096, description="side of the square images; left out, all files must have one size already"
    )
    resize: Literal["squash", "center_crop", "letterbox"] = Field(
        "squash", description="how an image that is not square becomes so: distorted, cropped, or padded with `fill`"
    )
    interpolation: Literal["bilinear", "lanczos"] = Field(
        "bilinear", description="filter used when resizing, antialiased"
    )
    fill: tuple[Channel, Channel, Channel] = Field(
        (0, 0, 0), description="red, green and blue (0 to 255) behind transparent pixels and around letterboxed images"
    )
    channels: Literal["rgb", "grey"] = Field("rgb", description="three colour channels, or one of grey")
