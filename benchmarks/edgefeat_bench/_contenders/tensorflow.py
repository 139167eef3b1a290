"""The Keras model as most people run it, and TensorFlow as a graph.

`load_img`, `preprocess_input`, then `model.predict(x)` or `model(x)`; a compiled `tf.function`; and a SavedModel that
decodes the file itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from edgefeat import EdgefeatError
from edgefeat._images.picture import read_picture
from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, affine, flat, timed_stages
from edgefeat_bench._contenders.model_files import KERAS_MODEL, SAVED_MODEL, ModelFacts

_DISTRIBUTIONS = ("tensorflow", "keras", "numpy", "pillow")


def limit_threads(threads: int) -> None:
    """Make TensorFlow use that many threads, before it does anything."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def open_predict(task: Task) -> Opened:
    """`model.predict`."""
    return _opened(task, lambda model: lambda pixels: model.predict(pixels, verbose=0))


def open_call(task: Task) -> Opened:
    """`model(x)`, which calls each layer in turn."""
    return _opened(task, lambda model: lambda pixels: model(pixels, training=False))


def open_function(task: Task) -> Opened:
    """Preprocessing and model in one `tf.function`."""
    model, preprocess, form = _model(task), _preprocessing(task.facts()), task.form()

    def features(pixels: Any) -> Any:
        return model(preprocess(tf.cast(pixels, tf.float32)), training=False)

    compiled = tf.function(features, [tf.TensorSpec((1, form.height, form.width, 3), tf.uint8)])
    extract = timed_stages(lambda pixels: compiled(tf.constant(pixels[None])), form)
    return Opened(extract, ("tensorflow", "keras", "pillow"), (task.folder / KERAS_MODEL).stat().st_size)


def open_saved_model(task: Task) -> Opened:
    """A signature from the path of a file to the features: `tf.io.decode_jpeg` and `tf.image.resize` in the graph."""
    limit_threads(task.threads)
    if task.form().fit != "stretch":
        raise EdgefeatError(f"its graph stretches, the bundle has fit {task.form().fit}")
    folder = task.folder / SAVED_MODEL
    loaded = tf.saved_model.load(str(folder))
    from_file, from_array = loaded.signatures["file"], loaded.signatures["array"]

    def extract(picture: Picture) -> Answer:
        outputs = from_file(tf.constant(picture)) if isinstance(picture, str) else from_array(tf.constant(picture))
        return Answer(flat([outputs[f"tap{index}"] for index in range(len(outputs))]))

    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Opened(extract, ("tensorflow",), size)


def open_reference(task: Task) -> Opened:
    """What all others are compared with: every pixel decoded, upright, and the Keras model. It is not timed."""
    import keras

    model, preprocess, form = keras.saving.load_model(task.folder / KERAS_MODEL), affine(task.facts()), task.form()

    def extract(picture: Picture) -> Answer:
        return Answer(flat(model(preprocess(read_picture(picture, form, "exact")), training=False)))

    return Opened(extract, _DISTRIBUTIONS, None)


def _opened(task: Task, calling: Callable[[Any], Callable[[Any], Any]]) -> Opened:
    call, preprocess = calling(_model(task)), _preprocessing(task.facts())
    # What `keras.utils.load_img` and `img_to_array` do, step by step so that each stage can be timed.
    extract = timed_stages(lambda pixels: call(preprocess(pixels.astype(np.float32)[np.newaxis])), task.form())
    return Opened(extract, _DISTRIBUTIONS, (task.folder / KERAS_MODEL).stat().st_size)


def _model(task: Task) -> Any:
    limit_threads(task.threads)
    import keras

    return keras.saving.load_model(task.folder / KERAS_MODEL)


def _preprocessing(facts: ModelFacts) -> Callable[[Any], Any]:
    """Return the function from float32 RGB (N, H, W, 3) to the first layer's input: Keras's own if it has one."""
    if facts.preprocess:
        module, _, name = facts.preprocess.rpartition(".")
        function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
        return function
    scale, shift = np.asarray(facts.scale, np.float32), np.asarray(facts.shift, np.float32)
    return lambda pixels: (pixels[..., ::-1] if facts.reversed else pixels) * scale + shift
