"""A layer that takes the place of one that is not loaded: it passes its input on and has no weights."""

from __future__ import annotations

import secrets
from typing import Any

import keras

__all__ = ["PREFIX", "described", "left_out", "placeholder_class"]

#: How the names of placeholders begin in a model's description, before the class of the layer they stand for. No file
#: can contain it.
PREFIX = f"edgefeat-{secrets.token_hex(8)}>"


def described(kind: str, name: str, why: str, outputs: int, shape: Any = None) -> dict[str, Any]:
    """Return the description of a placeholder for a layer of class `kind` with this number of outputs.

    `why` is the reason why the layer is not loaded. `shape` is that of the model's input, with the batch, if the model
    begins with the layer and has no other.
    """
    return {"class_name": PREFIX + kind, "config": {"name": name, "why": why, "outputs": outputs, "shape": shape}}


def left_out(layer: Any) -> str | None:
    """Return why a layer is only a placeholder, as in `described`; None if it is a layer of Keras."""
    return layer.why if getattr(layer, "stands_in", False) else None


def placeholder_class(library: Any, kind: str) -> type:
    """Return the placeholder for layers of class `kind` in `library`, keras or tf_keras, registered there.

    It has the same class name, without the package of a registered class, because both find a layer's weights in a file
    by its class and number.
    """
    known = library.saving.get_registered_object(PREFIX + kind)
    if known is None:
        known = type(kind.rpartition(">")[2], (_base(library),), {"__module__": __name__})
        library.saving.register_keras_serializable(PREFIX.rstrip(">"), kind)(known)
    return known  # type: ignore[no-any-return]  # keras has no types


def _base(library: Any) -> type:
    class Placeholder(library.layers.Layer):  # type: ignore[misc]  # keras has no types
        stands_in = True

        def __init__(self, name: str, why: str, outputs: int, shape: Any = None, **_: Any) -> None:
            super().__init__(name=name, **({} if shape is None else {"batch_input_shape": shape}))
            self.why, self.count, self.taken = why, outputs, shape

        def call(self, inputs: Any) -> Any:
            first = inputs[0] if isinstance(inputs, list | tuple) else inputs
            return first if self.count == 1 else [first] * self.count

        def get_config(self) -> dict[str, Any]:
            return {"name": self.name, "why": self.why, "outputs": self.count, "shape": self.taken}

        def load_own_variables(self, store: Any) -> None:
            """Leave the weights of the layer it stands for in the file."""

    if library is keras:

        def compute_output_spec(self: Any, inputs: Any) -> Any:
            first = inputs[0] if isinstance(inputs, list | tuple) else inputs
            made = [keras.KerasTensor(first.shape, dtype=first.dtype) for _ in range(self.count)]
            return made[0] if self.count == 1 else made

        Placeholder.compute_output_spec = compute_output_spec
    return Placeholder
