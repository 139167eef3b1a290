"""A whole Keras model from a file: functional, sequential, or made of other models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from edgefeat import ArgumentError, ExportError
from edgefeat_export._spec import MODEL_SUFFIXES, NetworkSpec, is_model_file

__all__ = ["MODEL_SUFFIXES", "is_model_file", "load_model"]


def load_model(spec: NetworkSpec) -> keras.Model:
    """The model saved at `spec.backbone`, with a fixed input size. Nothing in the file is executed.

    Raises ArgumentError where the model does not take one picture, or not of that size, and ExportError where the file
    cannot be read or holds code (a Lambda layer, a custom class).
    """
    path = Path(spec.backbone)
    if not path.is_file():
        raise ArgumentError(f"model {spec.backbone!r} does not exist (expected: a file that Keras saved)")
    if spec.alpha is not None:
        raise ArgumentError("alpha is for backbones known by name: a saved model has its width, leave --alpha out")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a file that it cannot or must not load
        raise ExportError(
            f"model {path} cannot be loaded by Keras {keras.__version__}: {_first_line(error)}"
        ) from error
    return _sized(model, spec)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _sized(model: Any, spec: NetworkSpec) -> keras.Model:
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ArgumentError(
            f"model {spec.backbone} has no defined input (allowed: a built functional or sequential model)"
        )
    if len(model.inputs) != 1:
        names = ", ".join(source.name for source in model.inputs)
        raise ArgumentError(f"model {spec.backbone} has {len(model.inputs)} inputs, {names} (allowed: one picture)")
    shape = tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] not in (3, None):
        raise ArgumentError(
            f"model {spec.backbone} takes {shape} by its input {model.inputs[0].name!r} "
            "(allowed: pictures, (None, height, width, 3))"
        )
    wanted = spec.size or tuple(side or 224 for side in shape[1:3])
    if any(own is not None and own != side for own, side in zip(shape[1:3], wanted, strict=True)):
        raise ArgumentError(f"model {spec.backbone} takes {shape[1]}x{shape[2]} pictures, not {wanted[0]}x{wanted[1]}")
    if None not in shape[1:]:
        return model
    return _fixed(model, wanted)


def _fixed(model: keras.Model, size: tuple[int, ...]) -> keras.Model:
    """The same layers and weights, on an input of a fixed size."""
    fixed = keras.models.clone_model(model, input_tensors=[keras.Input((*size, 3), name="picture")])
    fixed.set_weights(model.get_weights())
    return fixed
