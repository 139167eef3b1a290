"""Load a SavedModel without a Keras model: its serving signature becomes one layer, if it only computes."""

from __future__ import annotations

from typing import Any

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.saved.code.operations import check_operations
from edgefeat_export._models.saved.formats.graphs.folder import is_first_version
from edgefeat_export._models.saved.formats.graphs.image_function import ImageFunction
from edgefeat_export._models.saved.formats.graphs.loading import load_graph
from edgefeat_export._models.saved.metadata import saved_graph
from edgefeat_export._models.saved.recognition import SavedModel, missing_weights

__all__ = ["load_signature"]

_SIGNATURE = "serving_default"
#: Objects that run nothing when TensorFlow loads them; tables and assets run functions from the file.
_OBJECTS = ("user_object", "variable", "function", "bare_concrete_function", "constant", "captured_tensor")


def load_signature(saved: SavedModel, *, divided: bool = False) -> Any:
    """Return a tf-keras model with the folder's serving signature as its only layer; its outputs keep their names.

    If `divided`, the scopes of its graph are layers, where that is possible, which takes seconds.
    Raises ArgumentError if the signature does not take one tensor, and ExportError if it does more than compute or
    cannot be loaded.
    """
    if is_first_version(saved.path):
        return load_graph(saved, divided=divided)
    name = _check(saved)
    import tensorflow as tf
    import tf_keras  # noqa: F401  # a model saved with an optimizer of Keras 2 requires it to load

    try:
        loaded = tf.saved_model.load(str(saved.path))
        function = loaded.signatures[name]
    except Exception as error:  # TensorFlow raises many types for a damaged folder
        why = missing_weights(saved) or f"model {saved.path} cannot be loaded by TensorFlow: {first_line(error)}"
        raise ExportError(why) from error
    specs = function.structured_input_signature[1]
    if len(specs) != 1:
        raise ArgumentError(
            f"model {saved.path} takes {len(specs)} inputs, {', '.join(specs)} (allowed: a serving signature with one "
            "image)"
        )
    ((source, spec),) = specs.items()
    computed = ImageFunction(
        saved.path, name, source, spec, function, lambda given: function(**{source: given}), kept=loaded
    )
    return computed.model(divided=divided)


def _check(saved: SavedModel) -> str:
    """Return the name of the signature. Raises ExportError if it does more than compute."""
    graphs = saved_graph(saved.path).meta_graphs
    found = next((graph for graph in graphs if graph.signature_def), None)
    signatures = [key for key in (found.signature_def if found is not None else ()) if not key.startswith("__")]
    if found is None or not signatures:
        raise ExportError(
            f"model {saved.path} has no serving signature and no Keras layers: save a functional or sequential model "
            "with model.save('model.keras')"
        )
    for node in found.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind not in _OBJECTS or any(part.restore_function for part in node.saveable_objects.values()):
            raise ExportError(
                f"model {saved.path} contains an object of kind {kind}, which runs functions from the file when it is "
                "loaded: save only the network, without tables or files"
            )
    name = _SIGNATURE if _SIGNATURE in signatures else signatures[0]
    outputs = [info.name for info in found.signature_def[name].outputs.values()]
    check_operations(saved.path, found.graph_def, outputs)
    return name
