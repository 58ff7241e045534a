"""Small drawings of pixels and words, for pictures that would be too large as SVG.

The ground is transparent, words are of a middle grey. Axis suffixes: H rows, W columns, C channels.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from balancebench.pictures.style import TEXT

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["blank", "magnified", "paste", "png_bytes", "text_width", "tile", "tile_size", "write"]


def blank(width: int, height: int) -> Image:
    """Return a transparent picture."""
    from PIL import Image

    return Image.new("RGBA", (width, height), (0, 0, 0, 0))


def write(
    image: Image, text: str, x: int, y: int, size: int = 12, colour: str = TEXT, width: int | None = None
) -> None:
    """Write a line of text whose upper left corner is (x, y), cut with an ellipsis where it is wider than `width`."""
    from PIL import ImageDraw

    if width is not None and text_width(text, size) > width:
        while text and text_width(f"{text}…", size) > width:
            text = text[:-1]
        text = f"{text}…"
    ImageDraw.Draw(image).text((x, y), text, fill=colour, font=_font(size))


def text_width(text: str, size: int = 12) -> int:
    """Return how many pixels wide a line of text is."""
    return round(_font(size).getlength(text))


def tile_size(shape: tuple[int, ...], most: int) -> tuple[int, int]:
    """Return height and width of the tiles of images of this (height, width), at most `most` pixels a side.

    Small images are magnified by a whole number, so that each pixel stays a square.
    """
    longest = max(shape)
    high, wide = ((side * (most // longest) if longest <= most else max(1, side * most // longest)) for side in shape)
    return high, wide


def tile(image_CHW: NDArray[np.uint8], size: tuple[int, int]) -> Image:
    """Return an image as a tile of this (height, width): magnified to the nearest pixel, or averaged down."""
    from PIL import Image

    pixels_HWC = np.repeat(image_CHW, 3, axis=0) if len(image_CHW) == 1 else image_CHW
    image = Image.fromarray(np.ascontiguousarray(pixels_HWC.transpose(1, 2, 0)))
    high, wide = size
    return image.resize((wide, high), Image.Resampling.NEAREST if high >= image.height else Image.Resampling.BOX)


def magnified(pixels_HWC: NDArray[np.uint8], times: int) -> Image:
    """Return RGB pixels, each as a square of `times` by `times`."""
    from PIL import Image

    return Image.fromarray(pixels_HWC.repeat(times, axis=0).repeat(times, axis=1))


def paste(image: Image, part: Image, x: int, y: int) -> None:
    """Put a part into a picture."""
    image.paste(part, (x, y))


def png_bytes(image: Image, *, grey: bool = False) -> bytes:
    """Return a picture as PNG, without times or other notes; `grey` keeps no colours, in fewer bytes."""
    out = io.BytesIO()
    (image.convert("LA") if grey else image).save(out, format="PNG", optimize=True)
    return out.getvalue()


def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
