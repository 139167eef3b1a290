"""Find the input of a model that takes images, with its size, and whether it takes colour or gray."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras

from edgefeat_export._models.saved.graph import Call, calls, inputs_of, is_keras2, is_layer, key

__all__ = [
    "PictureInput",
    "input_name",
    "picture_input",
    "pictures_of",
    "unflattened",
    "wanted_size",
    "why_no_picture",
]

#: An input without a channel axis and with fewer rows or columns than this is a table of numbers.
_LEAST_SIDE = 8


@dataclass(frozen=True, slots=True)
class PictureInput:
    """An input that takes an image. Sides are None if the model accepts any size.

    `channels` is None if the model takes H x W without a channel axis, which is gray.
    """

    name: str
    height: int | None
    width: int | None
    channels: int | None

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
    if len(shape) == 3 and shape[2] in (1, 3, None):
        return PictureInput(name, shape[0], shape[1], shape[2] or 3)
    if len(shape) == 2 and None not in shape and min(shape) >= _LEAST_SIDE:
        return PictureInput(name, shape[0], shape[1], None)
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


def unflattened(model: Any, size: tuple[int, ...] | None) -> Any:
    """Return a chain of layers that takes an image's numbers, row by row, as one that takes the image of that size.

    Any other model is returned as it is.
    """
    sources = inputs_of(model)
    shape = tuple(sources[0].shape)[1:]
    if size is None or len(sources) != 1 or len(shape) != 1 or shape[0] not in (math.prod(size), 3 * math.prod(size)):
        return model
    made = calls(model)
    if len(model.outputs) != 1 or not _is_chain(made):
        return model
    library: Any = keras
    if is_keras2(model):
        import tf_keras

        library = tf_keras
    names = {layer.name for layer in model.layers}
    new = [
        next(name for name in (word + "_" * count for count in itertools.count()) if name not in names)
        for word in ("picture", "flattened")
    ]
    picture = library.Input((*size, shape[0] // math.prod(size)), name=new[0])
    tensor = library.layers.Reshape(shape, name=new[1])(picture)
    for call in made:
        if not call.is_input:
            tensor = call.layer(tensor)
    return library.Model(picture, tensor, name=model.name)


def _is_chain(made: Sequence[Call]) -> bool:
    """Return whether each call but the input takes only what the call before it gives."""
    source, *others = made
    if not source.is_input or any(len(call.results) != 1 for call in made):
        return False
    pairs = itertools.pairwise(made)
    linked = all(len(call.sources) == 1 and key(call.sources[0]) == key(before.results[0]) for before, call in pairs)
    return linked and all(is_layer(call.layer) and not _options(call.node) for call in others)


def _options(node: Any) -> dict[str, Any]:
    """Return the arguments of a call beside its tensor that may change its result."""
    given = node.arguments.kwargs if hasattr(node, "arguments") else node.call_kwargs
    return {
        name: value for name, value in given.items() if name not in ("mask", "training") or value not in (None, False)
    }
