"""A folder's features with Keras: `image_dataset_from_directory` decodes ahead, `predict` takes batches."""

import importlib
import json
import sys

import keras
import numpy as np
import tensorflow as tf

told = json.loads(sys.argv[1])
model = keras.models.load_model(told["model"])
pictures = keras.utils.image_dataset_from_directory(
    told["pictures"],
    labels=None,
    image_size=(told["height"], told["width"]),
    batch_size=32,
    shuffle=False,
    verbose=False,
)
if told["preprocess"]:
    module, _, name = told["preprocess"].rpartition(".")
    prepare = getattr(importlib.import_module(module), name)
else:

    def prepare(pixels: tf.Tensor) -> tf.Tensor:
        """The backbone's preprocessing."""
        return (pixels[..., ::-1] if told["reversed"] else pixels) * told["scale"] + told["shift"]


np.save(told["output"], model.predict(pictures.map(prepare).prefetch(tf.data.AUTOTUNE), verbose=0))
