"""Operations without what says where and when they run, and with integers of 32 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgefeat_export._models.saved.code.operations import has_value

__all__ = ["make_plain"]


def make_plain(graph: Any) -> None:
    """Leave out, in place, where an operation runs and when.

    Integers have 32 bits, as in TensorFlow.js: TFLite lacks some operations on longer ones. A graph without a version
    is taken as one of the TensorFlow that is installed.
    """
    import tensorflow as tf

    for node in graph.node:
        node.device = ""
        inputs = [tensor for tensor in node.input if not tensor.startswith("^")]
        del node.input[:]
        node.input.extend(inputs)
        for key in [key for key in node.attr if key.startswith("_")]:
            del node.attr[key]
        for value in node.attr.values():
            _narrow(value)
    if not graph.versions.producer:
        graph.versions.producer = tf.version.GRAPH_DEF_VERSION


def _narrow(value: Any) -> None:
    """Make 32 bits of 64 in an attribute, in place, where it is an integer type or a constant of one."""
    import tensorflow as tf

    long, short = tf.int64.as_datatype_enum, tf.int32.as_datatype_enum
    if value.type == long:
        value.type = short
    if long in value.list.type:
        value.list.type[:] = [short if kind == long else kind for kind in value.list.type]
    if value.tensor.dtype == long:
        if has_value(value.tensor):
            most = np.iinfo(np.int32)  # a slice to the end is often written as one to the largest number
            values = tf.make_ndarray(value.tensor).clip(most.min, most.max).astype(np.int32)
            value.tensor.CopyFrom(tf.make_tensor_proto(values))
        value.tensor.dtype = short
