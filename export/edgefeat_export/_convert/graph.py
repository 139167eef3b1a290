"""The one thing every conversion starts from: a frozen TensorFlow graph in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefeat import ArgumentError

if TYPE_CHECKING:
    import keras

__all__ = ["INPUT", "FrozenGraph", "as_function", "freeze"]

#: The name of every model's input, in every format.
INPUT = "image"


@dataclass(frozen=True, slots=True)
class FrozenGraph:
    """A GraphDef without variables, from one uint8 picture to float32 features.

    `input` names a uint8 tensor [1, height, width, 3]; `outputs` names one float32 tensor per tap, in the order
    of `taps`. Names are TensorFlow's, with the `:0`.
    """

    path: Path
    input: str
    outputs: tuple[str, ...]
    taps: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.taps or len(set(self.taps)) != len(self.taps):
            raise ArgumentError(f"taps {list(self.taps)}: one or more different names are needed")
        if len(self.outputs) != len(self.taps):
            raise ArgumentError(f"{len(self.outputs)} outputs and {len(self.taps)} taps: as many of each are needed")
        if INPUT in self.taps:
            raise ArgumentError(f"a tap cannot be called {INPUT!r}: that is the input's name")


def freeze(model: keras.Model, taps: Sequence[str], path: Path) -> FrozenGraph:
    """Write `model` to `path` with its weights as constants; the file takes one picture [1, H, W, 3], uint8.

    `model` has one input of shape [None, H, W, 3] and its outputs are the taps, in order. Preprocessing must be
    inside it: its input is the uint8 picture, cast to the input's own dtype.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    (source,) = model.inputs
    if None in source.shape[1:] or source.shape[-1] != 3:
        raise ArgumentError(f"input shape {tuple(source.shape)}: a fixed [None, height, width, 3] is needed")

    def features(image: Any) -> list[Any]:
        result = model(tf.cast(image, source.dtype), training=False)
        outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        return [tf.identity(tf.cast(output, tf.float32)) for output in outputs]

    signature = tf.TensorSpec([1, *source.shape[1:]], tf.uint8, name=INPUT)
    frozen = convert_variables_to_constants_v2(tf.function(features).get_concrete_function(signature))
    path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
    return FrozenGraph(path, frozen.inputs[0].name, tuple(t.name for t in frozen.outputs), tuple(taps))


def as_function(graph: FrozenGraph) -> Any:
    """The frozen graph as a TensorFlow ConcreteFunction, which TensorFlow's converter takes."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(graph.path.read_bytes())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(definition, name=""), [])
    tensor = wrapped.graph.as_graph_element
    return wrapped.prune(tensor(graph.input), [tensor(name) for name in graph.outputs])
