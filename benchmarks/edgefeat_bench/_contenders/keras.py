"""The Keras model as most people run it: `load_img`, `preprocess_input`, then `model.predict(x)` or `model(x)`."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from edgefeat._images.picture import read_picture
from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, affine, laid_out, pillow_picture
from edgefeat_bench._contenders.model_files import KERAS_MODEL, Prepared

__all__ = ["limit_threads", "open_call", "open_predict", "open_reference", "preprocessing"]

_DISTRIBUTIONS = ("tensorflow", "keras", "numpy", "pillow")


def limit_threads(threads: int) -> None:
    """Has TensorFlow use so many threads, before it does anything."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def preprocessing(facts: Prepared) -> Callable[[Any], Any]:
    """From float32 RGB (N, H, W, 3), array or tensor, to what the first layer takes: Keras's own where it has one."""
    if facts.preprocess:
        module, _, name = facts.preprocess.rpartition(".")
        function: Callable[[Any], Any] = getattr(importlib.import_module(module), name)
        return function
    scale, shift = np.asarray(facts.scale, np.float32), np.asarray(facts.shift, np.float32)
    return lambda pixels: (pixels[..., ::-1] if facts.reversed else pixels) * scale + shift


def open_predict(task: Task) -> Opened:
    """`model.predict`."""
    return _opened(task, lambda model: lambda pixels: model.predict(pixels, verbose=0))


def open_call(task: Task) -> Opened:
    """`model(x)`, each layer called in turn."""
    return _opened(task, lambda model: lambda pixels: model(pixels, training=False))


def open_reference(task: Task) -> Opened:
    """What all are held against: every pixel decoded, upright, and the Keras model. It is not timed."""
    import keras

    model, prepare, form = keras.saving.load_model(task.folder / KERAS_MODEL), affine(task.facts()), task.form()

    def extract(picture: Picture) -> Answer:
        pixels = prepare(read_picture(picture, form, "exact"))
        return Answer(laid_out(model(pixels, training=False)))

    return Opened(extract, _DISTRIBUTIONS, None)


def _opened(task: Task, calling: Callable[[Any], Callable[[Any], Any]]) -> Opened:
    limit_threads(task.threads)
    import keras

    model = keras.saving.load_model(task.folder / KERAS_MODEL)
    call, prepare, form = calling(model), preprocessing(task.facts()), task.form()

    def extract(picture: Picture) -> Answer:
        started = time.perf_counter()
        # What `keras.utils.load_img` and `img_to_array` do, step by step so that the stages can be told apart.
        pixels, decoded, resized = pillow_picture(picture, form)
        outputs = laid_out(call(prepare(np.expand_dims(pixels.astype(np.float32), 0))))
        return Answer(outputs, (decoded - started, resized - decoded, time.perf_counter() - resized))

    return Opened(extract, _DISTRIBUTIONS, (task.folder / KERAS_MODEL).stat().st_size)
