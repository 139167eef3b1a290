"""Wrap another model as one layer of a Keras 3 model, so that every saved model is handled the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

__all__ = ["embedded", "is_embedded"]


class _Weight:
    """A variable of tf-keras with the interface of a Keras 3 variable."""

    def __init__(self, variable: Any) -> None:
        self.path = str(getattr(variable, "path", variable.name)).partition(":")[0]
        self.shape = variable.shape
        self.dtype = variable.dtype
        self._variable = variable

    def numpy(self) -> NDArray[Any]:
        return np.asarray(self._variable.numpy())


class _Embedded(keras.Layer):  # type: ignore[misc]  # keras has no types
    """Calls a model on one image; the model's other inputs are constants."""

    def __init__(self, model: Any, fixed: Mapping[str, NDArray[np.float32]]) -> None:
        super().__init__(name="trunk", trainable=False)
        self.supports_jit = False
        shapes = [tuple(output.shape[1:]) for output in model.outputs]
        names = [source.name.partition(":")[0] for source in model.inputs]
        dtypes = [source.dtype for source in model.inputs]

        def call(picture: Any) -> list[Any]:
            import tensorflow as tf

            given = []
            for name, dtype in zip(names, dtypes, strict=True):
                if name in fixed:
                    value = tf.constant(fixed[name][np.newaxis])
                    rows = tf.tile(value, [tf.shape(picture)[0], *[1] * (value.shape.rank - 1)])
                else:
                    rows = picture
                given.append(tf.cast(rows, dtype))
            result = model(given if len(given) > 1 else given[0], training=False)
            return [tf.cast(output, tf.float32) for output in tf.nest.flatten(result)]

        # Use closures: Keras follows attributes, and would find models of another Keras.
        self._call: Callable[[Any], list[Any]] = call
        self._shapes: Callable[[], list[Any]] = lambda: shapes
        self._own_weights: Callable[[], list[Any]] = lambda: [_Weight(weight) for weight in model.weights]

    def call(self, picture: Any) -> list[Any]:
        return self._call(picture)

    def compute_output_spec(self, picture: Any) -> list[Any]:
        return [keras.KerasTensor((picture.shape[0], *shape), dtype="float32") for shape in self._shapes()]

    @property
    def weights(self) -> list[Any]:
        return list(self._own_weights())


def embedded(model: Any, fixed: Mapping[str, NDArray[np.float32]]) -> keras.Model:
    """Return a Keras 3 model that takes the free input of `model` and returns its outputs as float32.

    `model` is of Keras 3 or tf-keras and has one input that is not in `fixed`; `fixed` has the values of the others for
    one image, by the input's name. A network of tf-keras cannot be a layer of a Keras 3 model without this wrapper.
    """
    (free,) = [source for source in model.inputs if source.name.partition(":")[0] not in fixed]
    picture = keras.Input(tuple(free.shape[1:]), dtype="float32", name="picture")
    return keras.Model(picture, _Embedded(model, fixed)(picture))


def is_embedded(model: keras.Model) -> bool:
    """Return whether `embedded` made the model; Keras 3 can run such a model but not save it."""
    return any(isinstance(layer, _Embedded) for layer in model.layers)
