"""Build the network to export from the trunk and its head, and compute the reference features.

The exported graph computes features with Keras operations; the reference is computed separately by Keras and NumPy,
step by step, so that comparing the two is a real test.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from edgefeat import ArgumentError
from edgefeat._bundle.manifest import Projection, Tap
from edgefeat_export._network.pooling import LayerPooling, layer_pooling, pool, pooled
from edgefeat_export._network.trunk import Trunk
from edgefeat_export._spec import NetworkSpec

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

__all__ = ["Network", "build", "layer_poolings", "tap_name", "weights_sha256"]

Array = NDArray[np.float32]

_NORM_FLOOR = 1e-12
# Whitening divides by a dimension's deviation; below this share of the first variance it is only rounding error.
_LEAST_VARIANCE = 1e-10
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Network:
    """A Keras `model` from float32 images 0..255 (N, H, W, 3) to the features of the taps, in order.

    `notes` are for the user.
    """

    model: keras.Model
    taps: tuple[Tap, ...]
    features: Callable[[NDArray[np.uint8]], dict[str, Array]]
    notes: tuple[str, ...] = ()


def build(trunk: Trunk, spec: NetworkSpec, pictures: NDArray[np.uint8]) -> Network:
    """Return the trunk with preprocessing, pooling, projection and normalization baked in.

    A projection is fitted to `pictures`, uint8 (N, H, W, 3). The result's `features` computes the reference features of
    any such images with Keras and NumPy, by tap name.
    """
    poolings = layer_poolings(trunk, spec)
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
            pooling=pooling.name,
            normalization=spec.normalization,
            projection=_record(projection, spec.whiten),
            shape=tuple(int(side) for side in head.shape[1:]),
            tokens=pooling.tokens,
        )
        for layer, pooling, projection, head in zip(trunk.layers, poolings, projections, heads, strict=True)
    )

    def features(given: NDArray[np.uint8]) -> dict[str, Array]:
        pooled = _pooled(trunk, poolings, given)
        return {
            tap.name: _finish(rows, projection, spec.normalization)
            for tap, rows, projection in zip(taps, pooled, projections, strict=True)
        }

    notes = [note for pooling in poolings for note in pooling.notes]
    notes += [
        f"layer {tap.layer!r} gives one number, which L2 normalization makes 1 or -1: cut earlier with --layer, or "
        "keep the number with --normalize none"
        for tap in taps
        if spec.normalization == "l2" and math.prod(tap.shape) == 1
    ]
    return Network(keras.Model(source, heads), taps, features, tuple(notes))


def layer_poolings(trunk: Trunk, spec: NetworkSpec) -> list[LayerPooling]:
    """Return how each layer of the trunk is pooled. Raises ArgumentError if a layer cannot have `spec.pooling`."""
    return [
        layer_pooling(spec, layer, output.shape, trunk.size, trunk.tokens)
        for layer, output in zip(trunk.layers, _outputs(trunk.model), strict=True)
    ]


def tap_name(layer: str) -> str:
    """Return the name of a layer's tap: the layer's name with only ASCII letters, digits, `_`, `.` and `-`.

    The `/` of a nested layer becomes `.`, every other character `_`.
    """
    name = re.sub(r"[^A-Za-z0-9_.\-]", "_", layer.replace("/", "."))
    # TensorFlow requires a letter, digit or dot at the start, and the manifest refuses names with folders.
    return name if re.match(r"[A-Za-z0-9.]", name) and name not in (".", "..") else f"tap{name}"


def weights_sha256(model: keras.Model) -> str:
    """Return the SHA-256 of a model's weights, with their names and shapes, in the model's order."""
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


def _fit(
    trunk: Trunk, spec: NetworkSpec, poolings: Sequence[LayerPooling], pictures: NDArray[np.uint8]
) -> list[PCA | None]:
    if spec.project is None:
        return [None] * len(poolings)
    from sklearn.decomposition import PCA  # importing takes more than a second, and most exports have no projection

    fitted: list[PCA | None] = []
    for layer, rows in zip(trunk.layers, _pooled(trunk, poolings, pictures), strict=True):
        limit = min(len(rows) - 1, rows.shape[1])  # n points lie in n - 1 dimensions
        if rows.ndim != 2 or spec.project > limit:
            raise ArgumentError(
                f"layer {layer!r} cannot be projected to {spec.project} dimensions (allowed: pooled features, and at "
                f"most {limit} dimensions for {len(rows)} calibration images of {rows[0].size} features): use fewer "
                "dimensions or more images"
            )
        projection = PCA(spec.project, whiten=spec.whiten, svd_solver="full").fit(rows.astype(np.float64))
        variances = projection.explained_variance_
        varied = int(np.sum(variances > variances[0] * _LEAST_VARIANCE))
        if not varied:
            raise ArgumentError(
                f"layer {layer!r} cannot be projected: its features of all {len(rows)} calibration images are equal: "
                "use images that differ"
            )
        if spec.whiten and varied < spec.project:
            raise ArgumentError(
                f"layer {layer!r} cannot be whitened to {spec.project} dimensions (allowed: at most {varied}, because "
                f"the features of {len(rows)} calibration images vary in no more): use fewer dimensions or more images"
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


def _head(feature: Any, pooling: LayerPooling, projection: PCA | None, normalization: str) -> Any:
    """Return the baked-in head, in Keras operations that every converter supports."""
    feature = pool(feature, pooling)
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
    """Return the matrix (D, dimensions) that centred features are multiplied by."""
    matrix: NDArray[np.float64] = projection.components_.T
    return matrix / np.sqrt(projection.explained_variance_) if projection.whiten else matrix


def _pooled(trunk: Trunk, poolings: Sequence[LayerPooling], pictures: NDArray[np.uint8]) -> list[Array]:
    """Return each layer's output for the images, pooled by NumPy."""
    parts: list[list[Array]] = [[] for _ in poolings]
    for start in range(0, len(pictures), _BATCH):
        prepared = trunk.preprocess(pictures[start : start + _BATCH].astype(np.float32))
        outputs = _as_list(trunk.model.predict_on_batch(prepared))
        for part, output, pooling in zip(parts, outputs, poolings, strict=True):
            part.append(pooled(np.asarray(output), pooling))
    return [np.concatenate(part) for part in parts]


def _finish(rows: Array, projection: PCA | None, normalization: str) -> Array:
    if projection is not None:
        rows = np.asarray(projection.transform(rows.astype(np.float64)), np.float32)
    if normalization == "none":
        return rows
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    norm = np.sqrt(np.maximum((flat**2).sum(axis=1, keepdims=True), _NORM_FLOOR))
    return np.asarray(flat / norm, np.float32).reshape(rows.shape)
