"""Networks that take an image as one row of numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from edgefeat_export._models.saved.graph import Call, calls, inputs_of, is_keras2, is_layer, key, library_of

__all__ = ["unflattened"]


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
    library = library_of(is_keras2(model))
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
