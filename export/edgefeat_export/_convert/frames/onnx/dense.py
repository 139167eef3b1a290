"""A frame's resize in ONNX as two dense products, along its rows and along its columns: for every frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgefeat_export._convert import grid
from edgefeat_export._convert.frames.colors import LUMA, ColorMatrix, U
from edgefeat_export._convert.frames.filters import byte_weights
from edgefeat_export._convert.frames.onnx.nodes import MIDDLE, Builder
from edgefeat_export._convert.frames.onnx.order import in_order, joined, matrix
from edgefeat_export._convert.frames.plan import FramePlan, Section, blocks
from edgefeat_export._convert.graph import INPUT

__all__ = ["dense_pixels"]

#: Resized pixels in a block of the first pass, by the number of colours in it, and of the second. Measured with ONNX
#: Runtime on frames of 640x480 and 1280x720.
_ACROSS = {1: 28, 3: 16}
_DOWN = {1: 28, 3: 16}


def dense_pixels(builder: Builder, plan: FramePlan) -> str:
    """Return the resized pixels of the frame in the order of the picture, uint8 (N, height, width, planes)."""
    if plan.colors is None:
        return in_order(builder, plan, _packed(builder, plan), by_plane=plan.turned)
    lines = _lines(builder, plan, plan.colors)
    return in_order(builder, plan, _converted(builder, lines, plan.colors), by_plane=True)


def _packed(builder: Builder, plan: FramePlan) -> str:
    """Return both passes of RGB or gray: uint8 (N, size, resized x planes), by plane if the frame is turned."""
    (section,) = plan.sections
    planes, size, _ = section.weights.shape
    whole, total = byte_weights(section.weights.reshape(planes * size, -1), grid.LEVELS, pairs=True)
    values = builder.reshape(INPUT, [0, section.rows, section.row_bytes])
    parts, pixels = [], []
    for block in blocks(whole.reshape(section.weights.shape), _ACROSS[planes]):
        window = builder.floats(builder.slice(values, block.first, block.last, 2))
        weights = _matrix(builder, matrix(block.weights, by_plane=plan.turned), 1 / total)
        parts.append(builder.rounded(builder.node("MatMul", [window, weights])))
        pixels.append(block.weights.shape[1])
    rows = joined(builder, parts, pixels, section.rows, planes, by_plane=plan.turned)
    whole, total = byte_weights(plan.down, 255)
    parts = []
    for block in blocks(whole[np.newaxis], _DOWN[1]):
        weights = builder.weights(block.weights[0].astype(np.uint8), 1 / total)
        window = builder.floats(builder.slice(rows, block.first, block.last, 1))
        parts.append(builder.rounded(builder.node("MatMul", [weights, window])))
    return builder.concatenated(parts, 1)


def _lines(builder: Builder, plan: FramePlan, colors: ColorMatrix) -> str:
    """Return the first pass of YUV: uint8 (N, lines, resized), group by group; black is subtracted from luma."""
    flat = builder.reshape(INPUT, [0, plan.form.size])
    kinds: list[str] = []
    for section in plan.sections:
        part = builder.slice(flat, section.start, section.start + section.rows * section.row_bytes, 1)
        kinds += _section(builder, builder.reshape(part, [0, section.rows, section.row_bytes]), section)
    counts = (colors.group.count(LUMA), 1, 1)
    grouped = zip(kinds, counts, strict=True)
    luma, *rest = (builder.reshape(one, [0, plan.groups, count, plan.across]) for one, count in grouped)
    lines = builder.concatenated([luma, *rest * colors.group.count(U)], 2)
    return builder.reshape(lines, [0, plan.groups * len(colors.group), plan.across])


def _section(builder: Builder, rows: str, section: Section) -> list[str]:
    """Return the first pass of a section, uint8 (N, rows, resized) for each of its planes."""
    planes, size, _ = section.weights.shape
    whole, total = byte_weights(section.weights.reshape(planes * size, -1), grid.LEVELS, pairs=True)
    parts: list[list[str]] = [[] for _ in range(planes)]
    for block in blocks(whole.reshape(section.weights.shape), _ACROSS[1]):
        part_of_rows = builder.slice(rows, block.first, block.last, 2)
        for part, weights, black in zip(parts, block.weights, section.black, strict=True):
            window = builder.floats(part_of_rows, black)
            part.append(builder.rounded(builder.node("MatMul", [window, _matrix(builder, weights.T, 1 / total)])))
    return [builder.concatenated(part, 2) for part in parts]


def _converted(builder: Builder, lines: str, colors: ColorMatrix) -> str:
    """Return the second pass of YUV, with its conversion: uint8 (N, resized x 3, across).

    Weights times pixels: the pixels need no transposition. uint8 times uint8 is exact on every processor.
    """
    # 128 is subtracted from all lines; for luma the zero point of the result makes up for it.
    zero = int(np.rint(MIDDLE * colors.luma))
    parts = []
    for block in blocks(colors.weights, _DOWN[3]):
        shifted = block.weights.transpose(1, 0, 2).reshape(-1, block.last - block.first) + MIDDLE
        weights = builder.weights(shifted.astype(np.uint8), colors.unit, MIDDLE)
        window = builder.floats(builder.slice(lines, block.first, block.last, 1), MIDDLE)
        parts.append(builder.rounded(builder.node("MatMul", [weights, window]), zero))
    return builder.concatenated(parts, 1)


def _matrix(builder: Builder, weights: npt.NDArray[np.float64], scale: float) -> str:
    return builder.weights(np.ascontiguousarray(weights.astype(np.int8)), scale)
