"""The input of every conversion: the network as a TensorFlow SavedModel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefeat import ArgumentError

if TYPE_CHECKING:
    import keras

__all__ = ["INPUT", "SavedGraph", "save_graph"]

#: The name of every model's input, in every format.
INPUT = "image"


@dataclass(frozen=True, slots=True)
class SavedGraph:
    """A SavedModel in the folder `path`, from one uint8 image [1, H, W, 3] to one float32 feature for each tap.

    Its weights are in a separate file, which TensorFlow's converter reads: weights passed in memory would be copied
    several times. Its only signature, "serving_default", has one output for each tap, in the order of the outputs'
    names.
    """

    path: Path
    taps: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.taps or len(set(self.taps)) != len(self.taps):
            raise ArgumentError(f"taps {list(self.taps)}: one or more different names are required")
        if INPUT in self.taps:
            raise ArgumentError(f"a tap cannot be named {INPUT!r}: that is the name of the input")


def save_graph(model: keras.Model, taps: Sequence[str], path: Path) -> SavedGraph:
    """Write `model` to the folder `path`, for one uint8 image [1, H, W, 3].

    `model` has one input of shape [None, H, W, 3], and its outputs are the taps, in order. Preprocessing must be inside
    the model: the uint8 image is only cast to the input's dtype.
    """
    import tensorflow as tf

    (source,) = model.inputs
    if None in source.shape[1:] or source.shape[-1] != 3:
        raise ArgumentError(f"input shape {tuple(source.shape)}: a fixed [None, height, width, 3] is required")
    if len(model.outputs) != len(taps):
        raise ArgumentError(f"{len(model.outputs)} outputs and {len(taps)} taps: the numbers must be equal")

    def features(image: Any) -> dict[str, Any]:
        result = model(tf.cast(image, source.dtype), training=False)
        outputs = list(result) if isinstance(result, (list, tuple)) else [result]
        return {f"tap_{index:04}": tf.identity(tf.cast(output, tf.float32)) for index, output in enumerate(outputs)}

    signature = tf.TensorSpec([1, *source.shape[1:]], tf.uint8, name=INPUT)
    concrete = tf.function(features).get_concrete_function(signature)
    holder = tf.Module()
    holder.variables_read = list(concrete.graph.variables)  # only variables that a module refers to are saved
    tf.saved_model.save(holder, str(path), signatures=concrete)
    return SavedGraph(path, tuple(taps))
