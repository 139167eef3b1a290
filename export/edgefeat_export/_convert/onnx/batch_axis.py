"""Follow the side of each tensor that grows with the batch, where a network moves it behind another.

Attention in windows joins windows and heads to the batch, and moves the three of queries, keys and values before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["batch_axes", "reshaped_axis"]


def batch_axes(
    graph: Any, constants: Mapping[str, npt.NDArray[Any]], shapes: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """Return the axis that grows with the batch, for each computed tensor where that is not the first.

    `shapes` are those for a batch of one. An operator that is not known here is taken to keep the axis first.
    """
    found: dict[str, int] = {}
    for node in graph.node:
        source = next((name for name in node.input if name not in constants and name in found), None)
        if source is None and node.op_type != "Transpose":
            continue
        axis = _axis(node, source or node.input[0], found, constants, shapes)
        if axis:
            found.update(dict.fromkeys(node.output, axis))
    return found


def reshaped_axis(source: Sequence[int], axis: int, target: Sequence[int]) -> int | None:
    """Return the axis of a reshaped tensor that grows with the batch: as many values stand before it as before.

    `source` and `target` are shapes for a batch of one. None if the values of an image are torn apart.
    """
    before = math.prod(source[:axis])
    return next((place for place in range(len(target)) if math.prod(target[:place]) == before), None)


def _axis(
    node: Any,
    source: str,
    found: Mapping[str, int],
    constants: Mapping[str, npt.NDArray[Any]],
    shapes: Mapping[str, Sequence[int]],
) -> int | None:
    axis, rank = found.get(source, 0), len(shapes.get(source, ()))
    if node.op_type == "Transpose":
        order = next((list(one.ints) for one in node.attribute if one.name == "perm"), [])
        return order.index(axis) if axis < len(order) else None
    if node.op_type == "Reshape":
        target = shapes.get(node.output[0])
        return reshaped_axis(shapes.get(source, ()), axis, target) if target is not None and rank else None
    if node.op_type in ("Squeeze", "Unsqueeze"):
        places = np.sort(constants.get(node.input[1], np.zeros(0, int)) if len(node.input) > 1 else np.zeros(0, int))
        if (places < 0).any() or not len(places):
            return None
        if node.op_type == "Squeeze":
            return axis - int((places < axis).sum())
        for place in places:
            axis += int(place <= axis)
        return axis
    return axis + len(shapes.get(node.output[0], ())) - rank  # broadcast from the last side
