"""How an image of any size is brought to one shape, as options: the one meaning they have everywhere. Light.

Folders of real images, pools of made ones and generators all take them, so that a synthetic image is never resized
in another way than a real one without somebody having written so.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from balancebench.config import Options

__all__ = ["Channel", "FitOptions", "Interpolation", "Padding", "SyntheticFitOptions"]

Channel = Annotated[int, Field(ge=0, le=255)]
Interpolation = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
Padding = Literal["fill", "black", "white", "mean", "reflect", "noise"]
Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=0.5)]


class FitOptions(Options):
    """How an image that has another size or aspect ratio is made to fit."""

    fit: Literal["stretch", "crop", "letterbox"] = Field(
        "stretch",
        description="how an image of another aspect ratio is made to fit: distorted, cropped to its middle, or whole "
        "with `padding` around it",
    )
    interpolation: Interpolation = Field("bilinear", description="Pillow's filter used when resizing, antialiased")
    padding: Padding = Field(
        "fill",
        description="what lies around a letterboxed image: the colour of `fill`, black, white, the image's mean "
        "colour, the image mirrored at its edge, or uniform noise",
    )
    fill: tuple[Channel, Channel, Channel] = Field(
        (0, 0, 0), description="red, green and blue (0 to 255) behind transparent pixels, and of `padding`"
    )


class SyntheticFitOptions(FitOptions):
    """The same for made images, which are square where photographs are not, and what makes them more like these.

    After the slides of "Effectiveness of Data Synthesized by Generative AI in Supervised Image Classification": a
    random part is cut from two sides, so that letterboxing leaves margins as it does around real images. Their code
    has margin_probability 0.5 and margin_share 0.2 to 0.3.
    """

    margin_probability: Probability = Field(
        0.0, description="share of the images that get a margin: strips of opposite sides are cut off, then letterboxed"
    )
    margin_share: tuple[Share, Share] = Field(
        (0.2, 0.3), description="least and largest share of the image that is cut from each of the two sides"
    )
    margin_sides: Literal["top_bottom", "left_right", "either"] = Field(
        "top_bottom", description="which sides are cut; either: drawn for each image"
    )
    margin_padding: Padding | None = Field(
        None, description="what lies around an image that was given a margin, where it is not `padding`"
    )
    greyscale_probability: Probability = Field(0.0, description="share of the images that lose their colours")
    noise_levels: float = Field(
        0.0, ge=0, le=255, description="standard deviation of the normal noise added to pixels of 0..255"
    )

    @model_validator(mode="after")
    def _margins_can_be_seen(self) -> Self:
        if self.margin_share[0] > self.margin_share[1]:
            raise ValueError("margin_share must be the least and the largest share, in this order")
        if self.margin_probability > 0 and self.fit != "letterbox":
            raise ValueError('a margin needs fit = "letterbox": otherwise the image is stretched over it again')
        return self
