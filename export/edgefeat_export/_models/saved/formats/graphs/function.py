"""Make a function of one image, or of any number, of a graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgefeat_export._models.saved.formats.graphs.definition import Graph
from edgefeat_export._models.saved.formats.graphs.image_function import ImageFunction

__all__ = ["graph_function"]

_NAME = "graph"
_ANY_SIDE = 96  # pixels; for an axis of any length, to try a graph


def graph_function(path: Path, graph: Graph) -> ImageFunction:
    """Return the function of the graph; one of a fixed number of images takes any number, if its operations do."""
    import tensorflow as tf

    spec = tf.TensorSpec(
        tf.TensorShape(graph.placeholder.attr["shape"].shape),
        tf.as_dtype(graph.placeholder.attr["dtype"].type),
        graph.placeholder.name,
    )
    function = _called(graph, spec)
    given = function.structured_outputs
    features = {key: tensor for key, tensor in graph.outputs.items() if _may_be_features(given[key])}
    if not graph.named and features and len(features) < len(given):
        graph = replace(graph, outputs=features)
        function = _called(graph, spec)
    if spec.shape.rank and spec.shape[0] is not None:
        free = tf.TensorSpec([None, *spec.shape[1:]], spec.dtype, spec.name)
        batches = _of_any_batch(graph, function, spec, free)
        function, spec = (function, spec) if batches is None else (batches, free)
    return ImageFunction(path, _NAME, graph.source, spec, function, function)


def _may_be_features(output: Any) -> bool:
    """Return whether an output has numbers for each image: not the size of something, or a decision."""
    return bool(output.dtype.is_floating) and (output.shape.rank is None or output.shape.rank > 1)


def _called(graph: Graph, spec: Any) -> Any:
    import tensorflow as tf

    # TensorFlow 2.21 fuses convolutions again when it runs a graph, and crashes on that of BlazeFace.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    source = f"{graph.placeholder.name}:0"
    tensors = [name if ":" in name else f"{name}:0" for name in graph.outputs.values()]

    def run(given: Any) -> dict[str, Any]:
        found = tf.graph_util.import_graph_def(graph.definition, {source: given}, tensors, name="")
        return dict(zip(graph.outputs, found, strict=True))

    return tf.compat.v1.wrap_function(run, [spec])


def _of_any_batch(graph: Graph, function: Any, spec: Any, free: Any) -> Any:
    """Return the function of any number of images, or None if it would not give for each what `function` gives."""
    import tensorflow as tf

    count = spec.shape[0]
    sides = [side or _ANY_SIDE for side in spec.shape[1:]]
    given = tf.cast(np.random.default_rng(0).uniform(0, 255, (2 * count, *sides)), spec.dtype)
    try:
        batches = _called(graph.of_any_batch(count), free)
        found = batches(given)
        halves = [function(half) for half in (given[:count], given[count:])]
    except Exception:  # noqa: BLE001  # TensorFlow raises many types where a shape has the number of images in it
        return None
    alike = all(
        tensor.shape.rank and tensor.shape[0] is None and _close(found[key], tf.concat([h[key] for h in halves], 0))
        for key, tensor in batches.structured_outputs.items()
    )
    return batches if alike else None


def _close(found: Any, expected: Any) -> bool:
    return found.shape == expected.shape and bool(np.allclose(found, expected, 1e-3, 1e-4 * np.abs(expected).max()))
