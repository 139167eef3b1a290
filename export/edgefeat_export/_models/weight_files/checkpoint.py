"""Read the weights in TensorFlow checkpoints, those of `save_weights` in Keras 2 and those in SavedModel folders.

A checkpoint is `NAME.index` with `NAME.data-00000-of-00001`. Its graph of objects names the layers of each model twice:
`layer-3` by the place among all layers, `layer_with_weights-1` by the place among those with weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.normalization import finalize
from edgefeat_export._models.weight_files.hdf5 import SavedArray, SavedLayer, SavedLayers

__all__ = ["checkpoint_layers", "restore"]

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_LAYER = re.compile(r"layer_with_weights-(\d+)")
_PLACE = re.compile(r"layer-\d+")

#: The names of a layer's weights, in the order of `Layer.weights`.
_WEIGHTS = (
    "depthwise_kernel",
    "pointwise_kernel",
    "kernel",
    "bias",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
    "alpha",
    "mean",
    "variance",
    "count",
)

#: Those that a layer does not have unless it needs them.
_LAYERS_OWN = frozenset(_WEIGHTS[:8])


def checkpoint_layers(prefix: Path) -> SavedLayers:
    """Return the layers of the checkpoint that have weights, in the network's order, those of inner models in place.

    Raises ExportError if it is damaged, or names no layers.
    """
    checkpoint = _Checkpoint.opened(prefix)
    return SavedLayers(tuple(checkpoint.layers(checkpoint.model, set())), by_class=False)


def restore(model: Any, prefix: Path, left_out: Callable[[Any], object]) -> None:
    """Give the layers of a tf-keras `model`, but those that are `left_out`, their weights in the checkpoint.

    A layer is found by its place among all layers of its model, so it does not matter which have weights. Raises
    ExportError if the checkpoint is damaged or of another model.
    """
    import tensorflow as tf

    checkpoint = _Checkpoint.opened(prefix)
    whole = checkpoint.tracked(model, checkpoint.model, left_out)
    try:
        status = (tf.train.Checkpoint(**{checkpoint.place: whole}) if checkpoint.place else whole).read(str(prefix))
        status.expect_partial()
        status.assert_existing_objects_matched()
    except AssertionError as error:
        raise ExportError("its weights are not those of these layers: it lacks some of them") from error
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise ExportError(f"its weights are not those of these layers: {first_line(error)}") from error
    finalize(model, left_out)
    for variable in model.weights:
        if variable.dtype.is_floating and not np.isfinite(variable.numpy().astype(np.float32)).all():
            raise ExportError(f"array {variable.name!r} contains values that are not finite")


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """An open checkpoint: TensorFlow's reader, the objects, of which the first is the root, and the model among them.

    `place` is the name that the root has for the model, empty if it is the root itself.
    """

    reader: Any
    nodes: Any
    place: str
    model: Any

    @classmethod
    def opened(cls, prefix: Path) -> _Checkpoint:
        import tensorflow as tf
        from google.protobuf.message import DecodeError
        from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

        try:
            reader = tf.train.load_checkpoint(str(prefix))
            if not reader.has_tensor(_GRAPH):
                raise ExportError("it names variables instead of layers: it was not written by Keras 2")
            nodes = TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH)).nodes
            places = {"": nodes[0]} | {child.local_name: nodes[child.node_id] for child in nodes[0].children}
        except (tf.errors.OpError, IndexError, ValueError, RuntimeError, DecodeError) as error:
            raise ExportError(f"it is damaged or incomplete: {first_line(error)}") from error
        names = {place: [child.local_name for child in node.children] for place, node in places.items()}
        models = [place for place, children in names.items() if any(map(_LAYER.fullmatch, children))]
        if not models:
            raise ExportError("it contains no layers of a functional or sequential model")
        if len(models) > 1 and models[0] != "":
            raise ExportError(f"it contains several models, {', '.join(models)} (allowed: one): save the one you want")
        return cls(reader, nodes, models[0], places[models[0]])

    def tracked(self, model: Any, node: Any, left_out: Callable[[Any], object]) -> Any:
        """Return an object whose children have the names that `node`, a model of the checkpoint, has for its layers."""
        import tensorflow as tf
        import tf_keras

        children = {child.local_name: child.node_id for child in node.children}
        # Some versions of Keras 2 counted the input of a Sequential, and others did not.
        first = sum(_PLACE.fullmatch(name) is not None for name in children) - len(model.layers)
        if first not in ((0, 1) if isinstance(model, tf_keras.Sequential) else (0,)):
            raise ExportError(f"its weights are not those of these layers: it has {first + len(model.layers)} layers")
        layers = {}
        for place, layer in enumerate(model.layers, first):
            name = f"layer-{place}"
            if left_out(layer):
                continue
            layers[name] = layer
            if children.get(name, len(self.nodes)) < len(self.nodes):
                own = self.nodes[children[name]]
                if isinstance(layer, tf_keras.Model):
                    layers[name] = self.tracked(layer, own, left_out)
                else:
                    self._check_weights(layer, own)
        return tf.train.Checkpoint(**layers)

    def _check_weights(self, layer: Any, node: Any) -> None:
        """Raise ExportError if the checkpoint has weights for a layer that has none of that name."""
        for child in node.children:
            is_weight = child.local_name in _LAYERS_OWN and child.node_id < len(self.nodes)
            if is_weight and self.nodes[child.node_id].attributes and getattr(layer, child.local_name, None) is None:
                raise ExportError(
                    f"its weights are not those of these layers: it has {child.local_name!r} for layer {layer.name!r}"
                )

    def layers(self, node: Any, seen: set[int]) -> Iterator[SavedLayer]:
        """Yield the layers with weights of a model, whose `node` is given, and of the models in it."""
        numbered = ((_LAYER.fullmatch(child.local_name), child.node_id) for child in node.children)
        for _, place in sorted((int(match[1]), place) for match, place in numbered if match):
            if place in seen or place >= len(self.nodes):
                raise ExportError("it is damaged: a layer contains itself, or does not exist")
            seen.add(place)
            layer = self.nodes[place]
            if any(_LAYER.fullmatch(child.local_name) for child in layer.children):
                yield from self.layers(layer, seen)
            else:
                yield self._layer(layer)

    def _layer(self, node: Any) -> SavedLayer:
        found = {}
        for child in node.children:
            for attribute in self.nodes[child.node_id].attributes if child.node_id < len(self.nodes) else ():
                found[child.local_name] = attribute
        for name in ("mean", "variance"):  # Normalization has copies
            if name in found:
                found.pop(f"adapt_{name}", None)
        order = sorted(found, key=lambda name: _WEIGHTS.index(name) if name in _WEIGHTS else len(_WEIGHTS))
        name = next((found[weight].full_name.rpartition("/")[0] for weight in order), "")
        return SavedLayer(name, tuple(self._array(found[weight]) for weight in order))

    def _array(self, attribute: Any) -> SavedArray:
        key = attribute.checkpoint_key
        shapes = self.reader.get_variable_to_shape_map()
        if key not in shapes:
            raise ExportError(f"it is damaged: it lacks {key!r}")
        return SavedArray(attribute.full_name or key, tuple(shapes[key]), _Tensor(self.reader, key))


@dataclass(frozen=True, slots=True)
class _Tensor:
    """An array in a checkpoint, read when it is indexed, like one of h5py."""

    reader: Any
    key: str

    @property
    def dtype(self) -> np.dtype[Any]:
        found: np.dtype[Any] = np.dtype(self.reader.get_variable_to_dtype_map()[self.key].as_numpy_dtype)
        return found

    def __getitem__(self, _: object) -> NDArray[Any]:
        return np.asarray(self.reader.get_tensor(self.key))
