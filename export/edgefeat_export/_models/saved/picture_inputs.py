"""Find the input of a model that takes images, with its size, and whether it takes colour or gray."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from edgefeat_export._models.saved.graph import calls, inputs_of, key

__all__ = [
    "PictureInput",
    "input_name",
    "picture_input",
    "pictures_of",
    "wanted_size",
    "why_no_picture",
]

#: An input without a channel axis and with fewer rows or columns than this is a table of numbers.
_LEAST_SIDE = 8
#: Types of whole numbers that hold pixels from 0 to 255.
_WHOLE = ("uint8", "uint16", "int16", "int32", "int64", "uint32", "uint64")


@dataclass(frozen=True, slots=True)
class PictureInput:
    """An input that takes an image. Sides are None if the model accepts any size.

    `channels` is None if the model takes H x W without a channel axis, which is gray. `is_whole` means that it takes
    whole numbers, not scaled ones.
    """

    name: str
    height: int | None
    width: int | None
    channels: int | None
    is_whole: bool = False

    @property
    def color(self) -> Literal["rgb", "gray"]:
        """Whether the image is colour or gray."""
        return "rgb" if self.channels == 3 else "gray"

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the shape of one image."""
        return (height, width) if self.channels is None else (height, width, self.channels)


def input_name(source: Any) -> str:
    """Return the name of a symbolic input."""
    return str(source.name).partition(":")[0]


def picture_input(source: Any) -> PictureInput | None:
    """Return how a symbolic input takes an image, or None if it takes something else."""
    shape = tuple(source.shape)[1:]
    name = input_name(source)
    is_whole = getattr(source.dtype, "name", source.dtype) in _WHOLE
    if len(shape) == 3 and shape[2] in (1, 3, None):
        return PictureInput(name, shape[0], shape[1], shape[2] or 3, is_whole)
    if len(shape) == 2 and None not in shape and min(shape) >= _LEAST_SIDE:
        return PictureInput(name, shape[0], shape[1], None, is_whole)
    return None


def why_no_picture(source: Any) -> str:
    """Return a sentence part that says what the input takes instead of an image."""
    shape = tuple(source.shape)
    sides = shape[1:]
    said = f"takes {shape} by its input {input_name(source)!r}"
    if len(sides) == 1 and sides[0] is not None:
        side = math.isqrt(sides[0])
        if side >= _LEAST_SIDE and side * side == sides[0]:
            said += f", perhaps a {side}x{side} image as {sides[0]} numbers: if so, add --input-size {side}x{side}"
    elif len(sides) == 3 and sides[0] in (1, 3) and sides[2] not in (1, 3):
        said += ", channels first"
    elif len(sides) == 3 and sides[2] is not None:
        said += f", {sides[2]} channels"
    return f"{said} (allowed: images, (None, height, width, 3), or (None, height, width, 1) for gray)"


def wanted_size(model: Any, source: Any) -> tuple[int, int] | None:
    """Return the size to which a layer directly after the input resizes images, or None if there is no such layer."""
    for call in calls(model):
        if type(call.layer).__name__ == "Resizing" and any(key(taken) == key(source) for taken in call.sources):
            return int(call.layer.height), int(call.layer.width)
    return None


def pictures_of(model: Any) -> dict[str, PictureInput]:
    """Return the inputs of a model that take images, by name, in order."""
    found = [picture_input(source) for source in inputs_of(model)]
    return {one.name: one for one in found if one is not None}
