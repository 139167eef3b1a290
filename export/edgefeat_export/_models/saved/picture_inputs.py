"""Which input of a model is the picture, and how it takes it: its size, and in colour or in gray."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from edgefeat_export._models.saved.graph import calls, inputs_of, key

__all__ = ["PictureInput", "input_name", "picture_input", "pictures_of", "wanted_size", "why_no_picture"]

#: Fewer rows or columns than this are a table of numbers, where there is no axis of channels to tell.
_LEAST_SIDE = 8


@dataclass(frozen=True, slots=True)
class PictureInput:
    """An input that takes a picture. Sides are None where the model takes any size.

    `channels` is None where the model takes H x W without an axis of channels, which is gray.
    """

    name: str
    height: int | None
    width: int | None
    channels: int | None

    @property
    def color(self) -> Literal["rgb", "gray"]:
        """What the picture is made of."""
        return "rgb" if self.channels == 3 else "gray"

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """The shape of one picture."""
        return (height, width) if self.channels is None else (height, width, self.channels)


def input_name(source: Any) -> str:
    """Return the name of a symbolic input."""
    return str(source.name).partition(":")[0]


def picture_input(source: Any) -> PictureInput | None:
    """Return how a symbolic input takes a picture; None where it takes something else."""
    shape = tuple(source.shape)[1:]
    name = input_name(source)
    if len(shape) == 3 and shape[2] in (1, 3, None):
        return PictureInput(name, shape[0], shape[1], shape[2] or 3)
    if len(shape) == 2 and None not in shape and min(shape) >= _LEAST_SIDE:
        return PictureInput(name, shape[0], shape[1], None)
    return None


def why_no_picture(source: Any) -> str:
    """Return in words what the input takes in place of a picture."""
    shape = tuple(source.shape)
    sides = shape[1:]
    said = f"takes {shape} by its input {input_name(source)!r}"
    if len(sides) == 1 and sides[0] is not None:
        side = math.isqrt(sides[0])
        if side >= _LEAST_SIDE and side * side == sides[0]:
            said += f", perhaps a {side}x{side} picture as a row of {sides[0]} numbers: save it with Reshape in front"
    elif len(sides) == 3 and sides[0] in (1, 3) and sides[2] not in (1, 3):
        said += ", channels first"
    elif len(sides) == 3 and sides[2] is not None:
        said += f", {sides[2]} channels"
    return f"{said} (allowed: pictures, (None, height, width, 3), or (None, height, width, 1) for gray)"


def wanted_size(model: Any, source: Any) -> tuple[int, int] | None:
    """Return the size that a layer right behind the input brings pictures to; None where none does."""
    for call in calls(model):
        if type(call.layer).__name__ == "Resizing" and any(key(taken) == key(source) for taken in call.sources):
            return int(call.layer.height), int(call.layer.width)
    return None


def pictures_of(model: Any) -> dict[str, PictureInput]:
    """Return the inputs of a model that take pictures, by name, in order."""
    found = [picture_input(source) for source in inputs_of(model)]
    return {one.name: one for one in found if one is not None}
