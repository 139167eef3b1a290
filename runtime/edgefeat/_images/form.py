"""How a photo becomes the model's input, as recorded in a bundle's manifest."""

# No `annotations` from __future__: every record would have to compile its own at start-up.
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Decoding", "Fit", "PictureForm"]

Fit = Literal["stretch", "crop", "pad"]

#: `exact` decodes every pixel and then resizes. `fast` lets libjpeg scale while decoding.
Decoding = Literal["fast", "exact"]


@dataclass(frozen=True, slots=True)
class PictureForm:
    """How a photo becomes the model's input: uint8 RGB of `height` x `width` pixels.

    `transparency` is the colour behind transparent pixels: `white`, `black` or `#rrggbb`. `color` is "gray" for a
    network with one input channel: the image is converted to gray as by Pillow's `convert("L")` before it is resized,
    and its three channels are equal. The model itself converts any RGB image to gray.
    """

    height: int
    width: int
    fit: Fit = "stretch"
    filter: Literal["bilinear"] = "bilinear"
    orientation: Literal["exif", "ignore"] = "exif"
    transparency: str = "white"
    profile: Literal["ignore"] = "ignore"
    # Missing in bundles written before gray networks were supported.
    color: Literal["rgb", "gray"] = field(default="rgb", metadata={"optional": True})
