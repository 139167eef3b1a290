"""Inputs of a graph besides the image: constants, or left out."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from edgefeat_export._models.saved.code.operations import become

__all__ = ["let_in", "may_be_image"]

_IMAGE_RANK = 4
_CHANNELS = (1, 3, -1)
#: Names of inputs that say whether the network is trained, as in Keras, TF-Slim, TFLearn and FaceNet.
_TRAINING = frozenset(
    """
    is_train is_training keras_learning_phase phase_train train train_flag train_mode train_phase training
    training_phase
    """.split()
)
_NUMBER = re.compile(r"_\d+$")  # of the second input of a name


def let_in(graph: Any, sources: Collection[str]) -> None:
    """Make constants, in place, of inputs that say whether the network is trained, and leave out other defaults.

    The inputs `sources` lose their defaults instead; if there are none, an image that has one.
    """
    import tensorflow as tf

    inputs = [node for node in graph.node if node.op in ("Placeholder", "PlaceholderWithDefault")]
    if not sources and not any(may_be_image(node) for node in inputs if node.op == "Placeholder"):
        sources = {node.name for node in inputs if may_be_image(node)}
    for node in inputs:
        if node.name not in sources and _is_bool(node) and _NUMBER.sub("", node.name.split("/")[-1]) in _TRAINING:
            become(node, "Const", dtype=node.attr["dtype"].type)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(False))
        elif node.op == "PlaceholderWithDefault" and node.name in sources:
            node.op = "Placeholder"
            del node.input[:]
        elif node.op == "PlaceholderWithDefault":
            node.op = "Identity"
            node.attr["T"].CopyFrom(node.attr["dtype"])
            del node.attr["dtype"], node.attr["shape"]


def may_be_image(node: Any) -> bool:
    dims = [axis.size for axis in node.attr["shape"].shape.dim]
    return len(dims) == _IMAGE_RANK and dims[-1] in _CHANNELS and not _is_bool(node)


def _is_bool(node: Any) -> bool:
    import tensorflow as tf

    return bool(node.attr["dtype"].type == tf.bool.as_datatype_enum)
