"""The backbone, cut and with its head baked in, as a Keras model; and its features as a Keras user gets them.

The two are computed apart, the first by the graph that is exported and the second by Keras and NumPy step by step, so
that comparing them says something.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from edgefeat import ArgumentError
from edgefeat._bundle.manifest import Projection, Tap
from edgefeat_export._spec import NetworkSpec

__all__ = ["Network", "Trunk", "build", "weights_sha256"]

Array = NDArray[np.float32]

_GEM_POWER = 3.0  # Radenovic, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation, 2018
_GEM_FLOOR = 1e-6
_NORM_FLOOR = 1e-12
# Whitening divides by a dimension's deviation: below this share of the first one's variance it is rounding error.
_LEAST_VARIANCE = 1e-10
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Trunk:
    """A backbone cut at one or more layers: from preprocessed float32 pictures to each layer's output.

    `name` is the backbone's, `size` is height and width. `preprocess` makes of float32 RGB 0..255 (N, H, W, 3) what
    `model` takes, which is (N, H, W, 1) or (N, H, W) where `color` is "gray"; `preprocessing` says so in words.
    `notes` are for the user.
    """

    name: str
    model: keras.Model
    size: tuple[int, int]
    layers: tuple[str, ...]
    preprocess: Callable[[Any], Any]
    preprocessing: str
    color: Literal["rgb", "gray"] = "rgb"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """`model` goes from float32 pictures 0..255 (N, H, W, 3) to the taps' features, in order."""

    model: keras.Model
    taps: tuple[Tap, ...]
    features: Callable[[NDArray[np.uint8]], dict[str, Array]]


def build(trunk: Trunk, spec: NetworkSpec, pictures: NDArray[np.uint8]) -> Network:
    """The trunk with preprocessing, pooling, projection and normalization baked in.

    `pictures`, uint8 (N, H, W, 3), are what a projection is fitted to. `features` of the result gives what Keras and
    NumPy compute for any such pictures, by tap name.
    """
    poolings = [
        _pooling(spec, layer, output.shape) for layer, output in zip(trunk.layers, _outputs(trunk.model), strict=True)
    ]
    projections = _fit(trunk, spec, poolings, pictures)
    source = keras.Input((*trunk.size, 3), dtype="float32", name="image")
    maps = _as_list(trunk.model(trunk.preprocess(source)))
    heads = [
        _head(feature, pooling, projection, spec.normalization)
        for feature, pooling, projection in zip(maps, poolings, projections, strict=True)
    ]
    taps = tuple(
        Tap(
            name=tap_name(layer),
            layer=layer,
            pooling=pooling,  # type: ignore[arg-type]  # _pooling gives one of the literals
            normalization=spec.normalization,
            projection=_record(projection, spec.whiten),
            shape=tuple(int(side) for side in head.shape[1:]),
        )
        for layer, pooling, projection, head in zip(trunk.layers, poolings, projections, heads, strict=True)
    )

    def features(given: NDArray[np.uint8]) -> dict[str, Array]:
        pooled = _pooled(trunk, poolings, given)
        return {
            tap.name: _finish(rows, projection, spec.normalization)
            for tap, rows, projection in zip(taps, pooled, projections, strict=True)
        }

    return Network(keras.Model(source, heads), taps, features)


def tap_name(layer: str) -> str:
    """The tap of a layer is named after it, in what every format allows: ASCII letters and digits, `_`, `.` and `-`.

    `/` of a nested layer becomes `.`, all else `_`.
    """
    name = re.sub(r"[^A-Za-z0-9_.\-]", "_", layer.replace("/", "."))
    # TensorFlow has a letter, a digit or a dot come first, and the manifest's names are no folders.
    return name if re.match(r"[A-Za-z0-9.]", name) and name not in (".", "..") else f"tap{name}"


def weights_sha256(model: keras.Model) -> str:
    """The SHA-256 of the weights a model uses, with their names and shapes, in the model's order."""
    digest = hashlib.sha256()
    for variable in model.weights:
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{variable.path.rpartition('/')[2]} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()


def _outputs(model: keras.Model) -> list[Any]:
    return list(model.outputs)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _pooling(spec: NetworkSpec, layer: str, shape: Sequence[int | None]) -> str:
    """The pooling that this layer's output, of that shape, can have."""
    if len(shape) == 2:
        return "none"  # already a vector: there is nothing left to pool
    if len(shape) != 4:
        raise ArgumentError(
            f"layer {layer!r} gives {len(shape) - 1} dimensions, shape {tuple(shape[1:])} "
            "(allowed: a feature map H x W x C or a vector)"
        )
    if None in shape[1:]:
        raise ArgumentError(f"layer {layer!r} has no fixed size, {tuple(shape[1:])}: give --input-size")
    return spec.pooling


def _fit(trunk: Trunk, spec: NetworkSpec, poolings: Sequence[str], pictures: NDArray[np.uint8]) -> list[PCA | None]:
    if spec.project is None:
        return [None] * len(poolings)
    fitted: list[PCA | None] = []
    for layer, rows in zip(trunk.layers, _pooled(trunk, poolings, pictures), strict=True):
        limit = min(rows.shape)
        if rows.ndim != 2 or spec.project > limit:
            raise ArgumentError(
                f"projection to {spec.project} dimensions (allowed for layer {layer!r}: pooled features, at most "
                f"{limit} for {len(rows)} calibration pictures of {rows[0].size} features): use fewer, or more pictures"
            )
        projection = PCA(spec.project, whiten=spec.whiten, svd_solver="full").fit(rows.astype(np.float64))
        variances = projection.explained_variance_
        varied = int(np.sum(variances > variances[0] * _LEAST_VARIANCE))
        if spec.whiten and varied < spec.project:
            raise ArgumentError(
                f"whitening of {spec.project} dimensions (allowed for layer {layer!r}: at most {varied}, in no more do "
                f"the features of {len(rows)} calibration pictures differ): use fewer, or more pictures"
            )
        fitted.append(projection)
    return fitted


def _record(projection: PCA | None, whiten: bool) -> Projection | None:
    if projection is None:
        return None
    return Projection(
        dimensions=int(projection.n_components_),
        whiten=whiten,
        kept_variance=float(np.sum(projection.explained_variance_ratio_)),
    )


def _head(feature: Any, pooling: str, projection: PCA | None, normalization: str) -> Any:
    """The baked-in head, in Keras operations that every converter knows."""
    if pooling == "avg":
        feature = keras.layers.GlobalAveragePooling2D()(feature)
    elif pooling == "max":
        feature = keras.layers.GlobalMaxPooling2D()(feature)
    elif pooling == "gem":
        powers = ops.power(ops.maximum(feature, _GEM_FLOOR), _GEM_POWER)
        feature = ops.power(ops.mean(powers, axis=(1, 2)), 1.0 / _GEM_POWER)
    elif pooling == "flatten":
        feature = keras.layers.Flatten()(feature)
    if projection is not None:
        layer = keras.layers.Dense(projection.n_components_)
        feature = layer(feature)
        matrix = _matrix(projection)
        layer.set_weights([matrix.astype(np.float32), (-projection.mean_ @ matrix).astype(np.float32)])
    if normalization == "none":
        return feature
    shape = feature.shape[1:]
    flat = ops.reshape(feature, (-1, int(np.prod(shape)))) if len(shape) > 1 else feature
    scale = ops.rsqrt(ops.maximum(ops.sum(ops.square(flat), axis=-1, keepdims=True), _NORM_FLOOR))
    return ops.reshape(flat * scale, (-1, *shape)) if len(shape) > 1 else flat * scale


def _matrix(projection: PCA) -> NDArray[np.float64]:
    """What centred features are multiplied by: (D, dimensions)."""
    matrix: NDArray[np.float64] = projection.components_.T
    return matrix / np.sqrt(projection.explained_variance_) if projection.whiten else matrix


def _pooled(trunk: Trunk, poolings: Sequence[str], pictures: NDArray[np.uint8]) -> list[Array]:
    """Each layer's output for the pictures, pooled by NumPy."""
    parts: list[list[Array]] = [[] for _ in poolings]
    for start in range(0, len(pictures), _BATCH):
        prepared = trunk.preprocess(pictures[start : start + _BATCH].astype(np.float32))
        outputs = _as_list(trunk.model.predict_on_batch(prepared))
        for part, output, pooling in zip(parts, outputs, poolings, strict=True):
            part.append(_pool(np.asarray(output), pooling))
    return [np.concatenate(part) for part in parts]


def _pool(maps: Array, pooling: str) -> Array:
    if pooling == "avg":
        return np.asarray(maps.mean(axis=(1, 2)), np.float32)
    if pooling == "max":
        return np.asarray(maps.max(axis=(1, 2)))
    if pooling == "gem":
        powers = np.maximum(maps.astype(np.float64), _GEM_FLOOR) ** _GEM_POWER
        return np.asarray(powers.mean(axis=(1, 2)) ** (1.0 / _GEM_POWER), np.float32)
    return maps.reshape(len(maps), -1) if pooling == "flatten" else maps


def _finish(rows: Array, projection: PCA | None, normalization: str) -> Array:
    if projection is not None:
        rows = np.asarray(projection.transform(rows.astype(np.float64)), np.float32)
    if normalization == "none":
        return rows
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    norm = np.sqrt(np.maximum((flat**2).sum(axis=1, keepdims=True), _NORM_FLOOR))
    return np.asarray(flat / norm, np.float32).reshape(rows.shape)
