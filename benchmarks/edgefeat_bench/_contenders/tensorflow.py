"""TensorFlow as a graph: a compiled `tf.function`, and a SavedModel that decodes the file itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import tensorflow as tf

from edgefeat import EdgefeatError
from edgefeat_bench._contenders.interface import Answer, Opened, Picture, Task, laid_out, pillow_picture
from edgefeat_bench._contenders.keras import limit_threads, preprocessing
from edgefeat_bench._contenders.model_files import KERAS_MODEL, SAVED_MODEL

__all__ = ["open_function", "open_saved_model"]


def open_function(task: Task) -> Opened:
    """`load_img` as ever, then preprocessing and model in one `tf.function`."""
    limit_threads(task.threads)
    import keras

    model = keras.saving.load_model(task.folder / KERAS_MODEL)
    prepare, form = preprocessing(task.facts()), task.form()

    def features(pixels: Any) -> Any:
        return model(prepare(tf.cast(pixels, tf.float32)), training=False)

    compiled = tf.function(features, [tf.TensorSpec((1, form.height, form.width, 3), tf.uint8)])

    def extract(picture: Picture) -> Answer:
        started = time.perf_counter()
        pixels, decoded, resized = pillow_picture(picture, form)
        outputs = laid_out(compiled(tf.constant(pixels[None])))
        return Answer(outputs, (decoded - started, resized - decoded, time.perf_counter() - resized))

    return Opened(extract, ("tensorflow", "keras", "pillow"), (task.folder / KERAS_MODEL).stat().st_size)


def open_saved_model(task: Task) -> Opened:
    """A signature from the path of a file to the features: `tf.io.decode_jpeg`, `tf.image.resize`, all in the graph."""
    limit_threads(task.threads)
    if task.form().fit != "stretch":
        raise EdgefeatError(f"its graph stretches, the bundle has fit {task.form().fit}")
    folder = task.folder / SAVED_MODEL
    loaded = tf.saved_model.load(str(folder))
    from_file, from_array = loaded.signatures["file"], loaded.signatures["array"]

    def extract(picture: Picture) -> Answer:
        outputs = from_file(tf.constant(picture)) if isinstance(picture, str) else from_array(tf.constant(picture))
        return Answer(laid_out([outputs[f"tap{index}"] for index in range(len(outputs))]))

    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return Opened(extract, ("tensorflow",), size)
