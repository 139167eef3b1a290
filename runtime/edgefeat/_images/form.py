"""How a photo becomes the model's input, as the manifest of a bundle records it."""

# No `annotations` from __future__: reading a manifest would have to compile each of these when the program starts.
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["PictureForm"]


@dataclass(frozen=True, slots=True)
class PictureForm:
    """How a photo becomes the model's input: uint8 RGB of `height` x `width` pixels.

    `transparency` is the colour that what is transparent is laid over: `white`, `black` or `#rrggbb`. `color` is "gray"
    for a network of one channel: the picture is turned to gray as Pillow's `convert("L")` does before it is resized,
    and its three channels are equal. The model itself turns any RGB picture to gray.
    """

    height: int
    width: int
    fit: Literal["stretch", "crop", "pad"] = "stretch"
    filter: Literal["bilinear"] = "bilinear"
    orientation: Literal["exif", "ignore"] = "exif"
    transparency: str = "white"
    profile: Literal["ignore"] = "ignore"
    # Bundles written before gray networks were supported do not have it.
    color: Literal["rgb", "gray"] = field(default="rgb", metadata={"optional": True})
