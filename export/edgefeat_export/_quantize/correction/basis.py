"""Change the basis of linear tensors so that rounding them to 8 bits does the least harm; features stay the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from edgefeat_export._convert.graph import INPUT
from edgefeat_export._quantize.correction.execution import CHUNK
from edgefeat_export._quantize.correction.layers import Floats, Layer
from edgefeat_export._quantize.correction.streams import streams

__all__ = ["best_basis", "in_better_bases"]

Matrix = NDArray[np.float64]

#: Positions sampled in each image: this number at random, and the same number with the largest values.
_POSITIONS = 64

#: Budget of numbers in the rotations tried for the smallest range: many small rotations, or a few large ones.
_ROTATED = 6000
_ROTATIONS = (2, 24)

#: Channels that engines compute at once: a tensor with fewer channels takes about the same time.
_REGISTER = 16

#: Share of the mean variance that is added to every variance, so that none is zero.
_DAMPING = 1e-4


def in_better_bases(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    known: Mapping[str, NDArray[Any]],
    kept: Collection[str],
    pictures: NDArray[np.uint8],
) -> dict[str, NDArray[Any]]:
    """Return new constants of `layers` with which the model gives the same features from tensors in other bases.

    The output of a stream's convolutions is multiplied by a matrix, and the input of their readers by its inverse; this
    is exact because only additions lie between them. A diagonal matrix is equalization (Nagel et al. 2019); a rotation
    removes outliers (Ashkboos et al.: QuaRot, 2024); `best_basis` combines both and takes into account how strongly
    each direction is read.

    A tensor with few channels is written several times, each copy shifted by a fraction of one of its 256 levels, and
    its readers average the copies: the rounding error is that of as many times more levels, and the channels fill a
    vector register that was mostly empty (after Zhao et al.: Outlier Channel Splitting, 2019).
    """
    by_node = {layer.node: layer for layer in layers}
    found = streams(model, by_node)
    if not found:
        return {}
    sampled = _samples(model, sorted(set().union(*found)), pictures)
    values = dict(known)
    for stream in found:
        own = [node for node in model.graph.node if node.name in by_node]
        readers = [by_node[node.name] for node in own if node.input[0] in stream]
        writers = [by_node[node.name] for node in own if node.output[0] in stream]
        # In double precision one stream at a time: all at once take a gigabyte.
        samples = {name: sampled.pop(name).astype(np.float64) for name in sorted(stream)}
        basis = best_basis([*samples.values()], _reading(readers, values))
        _change(values, writers, readers, basis)
        copies = _REGISTER // len(basis)
        if len(stream) == 1 and copies > 1 and _can_repeat(writers, readers, values, kept):
            (sample,) = (rows @ np.linalg.inv(basis).T for rows in samples.values())
            _repeat(values, writers[0], readers, copies, float(sample.max() - sample.min()) / 255)
    names = dict.fromkeys(name for layer in layers for name in (layer.weight, layer.bias))  # in this order each time
    return {name: values[name] for name in names}


def best_basis(samples: Sequence[Matrix], reading: Matrix) -> Matrix:
    """Return the matrix M for which rounding M^-1 x causes the least error in the layers that read x.

    `samples` are values (positions, channels) of each tensor; `reading` is W^T W of the layers that read them. Rounding
    adds noise to each channel of M^-1 x in proportion to its range, so the quantity to minimize is tr(W M M^T W^T)
    times the mean variance of M^-1 x, tr(M^-1 C M^-T). The minimum over S = M M^T has the form of an optimal transport
    between two Gaussians, S = W'^-1 (W' C W')^1/2 W'^-1 with W' = (W^T W)^1/2. The rotation that remains free is chosen
    from several random ones as the one with the smallest range.
    """
    channels = reading.shape[0]
    spread = np.zeros((channels, channels))
    for sample in samples:
        covariance = np.cov(sample.T).reshape(channels, channels)
        spread += covariance / max(float(np.trace(covariance)), 1e-30)
    root = _power(reading, 0.5)
    back = _power(reading, -0.5)
    basis = _power(back @ _power(root @ spread @ root, 0.5) @ back, 0.5)
    inverse = np.linalg.inv(basis)
    turned = [sample @ inverse.T for sample in samples]
    random = np.random.default_rng(0)
    count = int(np.clip(_ROTATED // channels**2, *_ROTATIONS))
    rotations = [np.linalg.qr(random.normal(size=(channels, channels)))[0] for _ in range(count)]
    rotation = min(rotations, key=lambda candidate: _range(turned, candidate))
    return np.asarray(basis @ rotation)


def _range(samples: Sequence[Matrix], rotation: Matrix) -> float:
    """Return the range of the rotated samples, in units of each tensor's own deviation."""
    rotated = [sample @ rotation for sample in samples]
    return float(np.mean([np.log((r.max() - r.min()) / max(float(r.std()), 1e-30)) for r in rotated]))


def _power(matrix: Matrix, exponent: float) -> Matrix:
    """Return the power of a symmetric matrix without negative eigenvalues."""
    damped = matrix + np.eye(len(matrix)) * (_DAMPING * np.trace(matrix) / len(matrix) or 1.0)
    values, vectors = np.linalg.eigh(damped)
    return np.asarray((vectors * np.maximum(values, values[-1] * 1e-9) ** exponent) @ vectors.T)


def _reading(readers: Sequence[Layer], values: Mapping[str, NDArray[Any]]) -> Matrix:
    """Return W^T W of the layers that read the tensor, each with equal weight."""
    parts = []
    for reader in readers:
        weight = values[reader.weight].astype(np.float64)
        rows = weight.transpose(0, 2, 3, 1).reshape(-1, weight.shape[1])
        parts.append(rows.T @ rows / max(float((rows**2).sum()), 1e-30))
    return np.asarray(np.sum(parts, axis=0))


def _change(values: dict[str, NDArray[Any]], writers: Sequence[Layer], readers: Sequence[Layer], basis: Matrix) -> None:
    """Change the basis of the tensors, in place: the inverse goes into their writers, `basis` into their readers."""
    inverse = np.linalg.inv(basis)
    for writer in writers:
        for name in (writer.weight, writer.bias):
            values[name] = np.tensordot(inverse, values[name], axes=(1, 0)).astype(np.float32)
    for reader in readers:
        values[reader.weight] = np.einsum("oc...,cd->od...", values[reader.weight], basis).astype(np.float32)


def _can_repeat(
    writers: Sequence[Layer], readers: Sequence[Layer], values: Mapping[str, NDArray[Any]], kept: Collection[str]
) -> bool:
    """Return whether the tensor becomes 8 bits and no reader pads it with zeros, which are not shifted values."""
    alone = all(values[reader.weight].shape[2:] == (1, 1) for reader in readers)
    return alone and len(writers) == 1 and writers[0].node not in kept


def _repeat(
    values: dict[str, NDArray[Any]], writer: Layer, readers: Sequence[Layer], copies: int, level: float
) -> None:
    """Write a tensor `copies` times, one copy's channels after another; `level` is the size of one of 256 levels."""
    shifts = np.arange(copies) * level / copies
    bias = values[writer.bias]
    values[writer.weight] = np.concatenate([values[writer.weight]] * copies)
    values[writer.bias] = np.concatenate([bias + shift for shift in shifts]).astype(np.float32)
    for reader in readers:
        weight = values[reader.weight]
        values[reader.weight] = np.concatenate([weight / copies] * copies, axis=1).astype(np.float32)
        offset = weight.sum((1, 2, 3), dtype=np.float64) * shifts.mean()
        values[reader.bias] = (values[reader.bias] - offset).astype(np.float32)


def _samples(model: onnx.ModelProto, names: Sequence[str], pictures: NDArray[np.uint8]) -> dict[str, Floats]:
    """Return values of each named tensor (positions, channels): at random, and those of the largest magnitude."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    found: dict[str, list[Floats]] = {name: [] for name in names}
    for start in range(0, len(pictures), CHUNK):
        for name, tensor in zip(names, session.run(None, {INPUT: pictures[start : start + CHUNK]}), strict=True):
            rows = tensor.transpose(0, 2, 3, 1).reshape(-1, tensor.shape[1])
            wanted = min(len(rows), _POSITIONS * len(tensor))
            greatest = np.argpartition(-np.abs(rows).max(1), wanted - 1)[:wanted]
            found[name] += [rows[random.permutation(len(rows))[:wanted]], rows[greatest]]
    return {name: np.concatenate(found.pop(name)) for name in names}
