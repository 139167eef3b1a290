"""The covariance of a layer's inputs over a sample of positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat_export._quantize.correction.layers import Floats, Layer, attributes

__all__ = ["covariance", "row_covariance", "sampled_rows"]

#: Positions in the sample: this number, or this many times the inputs of an output if that is more.
_POSITIONS = 16384
_PER_INPUT = 6

#: The largest number of values of one sample in memory.
_VALUES = 2**25


def covariance(
    layer: Layer, node: Any, kernel: tuple[int, ...], chunks: Sequence[Floats], random: np.random.Generator
) -> NDArray[np.floating]:
    """Return the covariance (groups, inputs, inputs) of a convolution's inputs; `chunks` are the layer's input."""
    patches = _sample(layer, node, kernel, chunks, random)
    patches -= patches.mean(-1, keepdims=True)
    count = patches.shape[-1]
    if len(patches) == 1:
        return _squared(patches[0], count)
    return np.asarray((patches @ patches.transpose(0, 2, 1)).astype(np.float64) / count)


def sampled_rows(chunks: Sequence[Floats], random: np.random.Generator) -> Floats:
    """Return a sample of a dense layer's input as rows (positions, inputs)."""
    inputs = chunks[0].shape[-1]
    rows = np.concatenate([chunk.reshape(-1, inputs) for chunk in chunks])
    wanted = min(len(rows), max(_POSITIONS, _PER_INPUT * inputs))
    return np.ascontiguousarray(rows[random.permutation(len(rows))[:wanted]])


def row_covariance(rows: Floats) -> NDArray[np.floating]:
    """Return the covariance (1, inputs, inputs) of `rows` (positions, inputs)."""
    centred = np.ascontiguousarray(rows.T)
    centred -= centred.mean(-1, keepdims=True)
    return _squared(centred, len(rows))


def _squared(values: Floats, count: int) -> NDArray[np.floating]:
    product = values @ values.T  # with two dimensions NumPy computes only half of the symmetric result
    product /= count
    return np.asarray(product[np.newaxis])


def _sample(
    layer: Layer, node: Any, kernel: tuple[int, ...], chunks: Sequence[Floats], random: np.random.Generator
) -> Floats:
    """Return (groups, inputs, positions): the values under the kernel at random positions, equally many per image."""
    pictures = sum(len(chunk) for chunk in chunks)
    inputs = int(np.prod(kernel))
    wanted = min(max(_POSITIONS, _PER_INPUT * inputs), _VALUES // (inputs * layer.groups))
    parts = [_patches(layer, node, kernel, chunk, -(-wanted // pictures), random) for chunk in chunks]
    return np.concatenate(parts, axis=-1)


def _patches(
    layer: Layer, node: Any, kernel: tuple[int, ...], chunk: Floats, each: int, random: np.random.Generator
) -> Floats:
    """Return (groups, inputs, positions) of one chunk, from `each` positions, the same in all its images."""
    known = attributes(node)
    strides, dilations = known.get("strides", [1, 1]), known.get("dilations", [1, 1])
    spans = [(size - 1) * step + 1 for size, step in zip(kernel[1:], dilations, strict=True)]
    padded = np.pad(chunk, [(0, 0), (0, 0), *_pads(known, chunk.shape[2:], spans, strides)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    pictures, _, height, width = windows.shape[:4]
    positions = random.permutation(height * width)[:each]
    taken = windows[:, :, positions // width, positions % width]  # (images, channels, positions, kernel)
    ordered = taken.transpose(1, 3, 4, 0, 2)
    return np.ascontiguousarray(ordered).reshape(layer.groups, -1, pictures * len(positions))


def _pads(
    known: dict[str, Any], sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the zeros before and after each of the two axes."""
    automatic = known.get("auto_pad", b"NOTSET")
    if automatic in (b"SAME_UPPER", b"SAME_LOWER"):
        totals = [
            max((-(-size // step) - 1) * step + span - size, 0)
            for size, span, step in zip(sizes, spans, strides, strict=True)
        ]
        less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
        pairs = zip(less, more, strict=True) if automatic == b"SAME_UPPER" else zip(more, less, strict=True)
        return list(pairs)
    pads = known.get("pads", [0, 0, 0, 0]) if automatic == b"NOTSET" else [0, 0, 0, 0]
    return [(pads[0], pads[2]), (pads[1], pads[3])]
