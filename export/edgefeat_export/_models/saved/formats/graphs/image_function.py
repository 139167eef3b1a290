"""Make a model of tf-keras of a function of one image: one layer, or the scopes of its graph as layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefeat import ArgumentError, ExportError
from edgefeat_export._models.messages import first_line
from edgefeat_export._models.saved.formats.graphs.arithmetic import first_arithmetic
from edgefeat_export._models.saved.formats.graphs.parts import in_parts
from edgefeat_export._models.saved.graph import scope_name
from edgefeat_export._spec import model_name

__all__ = ["ImageFunction"]


@dataclass(frozen=True, slots=True)
class ImageFunction:
    """What a saved graph computes of one tensor, without a Keras model.

    `name` is that of the layer it becomes, `source` that of its input, whose type and shape are `spec`. `function` is
    the concrete function, `call` calls it and returns its tensors by name, and `kept` keeps its variables alive.
    """

    path: Path
    name: str
    source: str
    spec: Any
    function: Any
    call: Callable[[Any], dict[str, Any]]
    kept: Any = None

    def model(self, *, divided: bool) -> Any:
        """Return a tf-keras model with the function as its only layer; its outputs keep their names.

        If `divided`, the scopes of its graph are layers, where that is possible, which takes seconds.
        Raises ArgumentError if the function does not take images, and ExportError if it cannot be divided.
        """
        import tensorflow as tf
        import tf_keras

        self._check_input()
        keys = sorted(self.function.structured_outputs)
        source, *names = _distinct([self.source, *keys])
        # Models with an input of another float type are built anew in float32, which a graph cannot be.
        kind = tf.float32 if self.spec.dtype.is_floating else self.spec.dtype
        given = tf_keras.Input(tuple(self.spec.shape)[1:], dtype=kind, name=source)
        parts = None
        if divided and self.spec.shape[0] is None:
            try:
                parts = in_parts(self.function, given, {source, *names})
            except Exception as error:  # TensorFlow and tf-keras raise many types for a graph that they cannot divide
                raise ExportError(
                    f"model {self.path} cannot be cut: {first_line(error)} (allowed: the whole network, without "
                    "--layer)"
                ) from error
        if parts is None:
            results = _layer_class()(self)(given)
            parts = [results[key] for key in keys]
        named = [tf_keras.layers.Activation("linear", name=name)(part) for name, part in zip(names, parts, strict=True)]
        return tf_keras.Model(given, named, name=scope_name(model_name(str(self.path))))

    def _check_input(self) -> None:
        shape, kind = self.spec.shape, self.spec.dtype
        if not (kind.is_floating or kind.is_integer):
            raise ArgumentError(f"model {self.path} takes values of type {kind.name} (allowed: numbers of an image)")
        if shape.rank is None or (None in tuple(shape)[1:] and shape.rank not in (3, 4)):
            raise ArgumentError(f"model {self.path} takes a tensor of shape {shape} (allowed: one image)")
        if shape.rank and shape[0] not in (None, 1):
            raise ArgumentError(f"model {self.path} takes {shape[0]} images at once (allowed: 1, or any number)")


def _distinct(names: Iterable[str]) -> list[str]:
    """Return names that TensorFlow accepts for layers, none of them twice."""
    found: list[str] = []
    for name in map(scope_name, names):
        while name in found:
            name += "_"
        found.append(name)
    return found


def _layer_class() -> type:
    import tensorflow as tf
    import tf_keras

    class Signature(tf_keras.layers.Layer):  # type: ignore[misc]  # tf-keras has no types
        """Calls the function; `kept` keeps its variables alive."""

        def __init__(self, computed: ImageFunction) -> None:
            super().__init__(name=computed.name, trainable=False)
            self.computed, self.kept = computed, computed.kept
            self.first_arithmetic = first_arithmetic(computed.function.graph)

        def call(self, given: Any) -> dict[str, Any]:
            spec, function = self.computed.spec, self.computed.call
            given = tf.cast(given, spec.dtype)
            if spec.shape[0] == 1 and given.shape[0] != 1:
                rows = tf.map_fn(
                    lambda row: {key: value[0] for key, value in function(row[tf.newaxis]).items()},
                    given,
                    fn_output_signature={
                        key: output.dtype for key, output in self.computed.function.structured_outputs.items()
                    },
                )
                return dict(rows)
            return dict(function(given))

        def get_config(self) -> dict[str, Any]:
            return {"computed": self.computed}

    return Signature
