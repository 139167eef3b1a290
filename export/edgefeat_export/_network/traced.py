"""Count the multiply-accumulates of a layer made of other layers, such as a transformer block, in its graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgefeat_export._models.saved.graph_macs import graph_macs

__all__ = ["traced_macs"]


def traced_macs(call: Any, shapes: Sequence[Sequence[int | None]]) -> int:
    """Return the multiply-accumulates of a call of a Keras 3 layer for one image; `shapes` are its inputs', with batch.

    Counted is what `graph_macs` counts.
    """
    import tensorflow as tf

    specs = [tf.TensorSpec([1, *shape[1:]], tensor.dtype) for shape, tensor in zip(shapes, call.sources, strict=True)]

    def run(*given: Any) -> Any:
        values = {id(tensor): value for tensor, value in zip(call.sources, given, strict=True)}
        args, kwargs = call.node.arguments.fill_in(values)
        return call.layer(*args, **kwargs)

    graph = tf.function(run).get_concrete_function(*specs).graph
    return graph_macs(graph.get_operations())
