"""A folder's features with Keras: `image_dataset_from_directory` decodes ahead, `predict` takes batches."""

import importlib
import json
import sys

import keras
import numpy as np
import tensorflow as tf

task = json.loads(sys.argv[1])
model = keras.models.load_model(task["model"])
pictures = keras.utils.image_dataset_from_directory(
    task["pictures"],
    labels=None,
    image_size=(task["height"], task["width"]),
    batch_size=32,
    shuffle=False,
    verbose=False,
)
if task["preprocess"]:
    module, _, name = task["preprocess"].rpartition(".")
    prepare = getattr(importlib.import_module(module), name)
else:

    def prepare(pixels: tf.Tensor) -> tf.Tensor:
        """The backbone's preprocessing."""
        return (pixels[..., ::-1] if task["reversed"] else pixels) * task["scale"] + task["shift"]


np.save(task["output"], model.predict(pictures.map(prepare).prefetch(tf.data.AUTOTUNE), verbose=0))
