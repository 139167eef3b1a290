"""The order in which the products of a frame leave its pixels, and the picture made of them.

The pixels of a row are one after the other, each with its planes, as in the picture; or, "by plane", the planes of a
row are one after the other. By plane, all rows are turned by 90 degrees with one transposition of a matrix, which is
fast; that of pixels with three bytes each takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._convert.frames.onnx.nodes import Builder
from edgefeat_export._convert.frames.plan import FramePlan

__all__ = ["in_order", "joined", "matrix"]


def matrix(weights: NDArray[np.float64], *, by_plane: bool) -> NDArray[np.float64]:
    """Return the weights (planes, pixels, window) of a block as a matrix (window, pixels x planes) of that order."""
    return weights.transpose((2, 0, 1) if by_plane else (2, 1, 0)).reshape(weights.shape[2], -1)


def joined(
    builder: Builder, parts: Sequence[str], pixels: Sequence[int], rows: int, planes: int, by_plane: bool
) -> str:
    """Return blocks of so many `pixels`, each (N, rows, pixels x planes), as (N, rows, resized x planes)."""
    if not by_plane or planes == 1:
        return builder.concatenated(parts, -1)
    split = [builder.reshape(part, [0, rows * planes, count]) for part, count in zip(parts, pixels, strict=True)]
    return builder.reshape(builder.concatenated(split, 2), [0, rows, planes * sum(pixels)])


def in_order(builder: Builder, plan: FramePlan, pixels: str, *, by_plane: bool) -> str:
    """Return `pixels` (N, size, resized x planes) as a picture: uint8 (N, height, width, planes)."""
    size, across, planes = len(plan.down), plan.across, plan.planes
    if not by_plane:
        return builder.reshape(pixels, [0, size, across, planes])
    if plan.turned:
        flat = builder.reshape(pixels, [0, size * planes, across])
        return _fixed(builder, builder.transpose(flat, [0, 2, 1]), [across, size, planes])
    split = builder.reshape(pixels, [0, size, planes, across])
    return _fixed(builder, builder.transpose(split, [0, 1, 3, 2]), [size, across, planes])


def _fixed(builder: Builder, transposed: str, shape: list[int]) -> str:
    """Return the result of a transposition in `shape`, height, width and planes.

    ONNX Runtime would move the transposition behind the network's first operators, where it takes ten times as long;
    it does not move one past a change of shape.
    """
    height, width, planes = shape
    return builder.reshape(builder.reshape(transposed, [0, height, width * planes]), [0, *shape])
