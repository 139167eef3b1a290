"""Features with Keras: one photo by `load_img`, or a folder by `image_dataset_from_directory`, which decodes ahead."""

import importlib
import json
import os
import sys
from typing import Any

import keras
import numpy as np

task = json.loads(sys.argv[1])
model = keras.models.load_model(task["model"])
size = (task["height"], task["width"])
if task["preprocess"]:
    module, _, name = task["preprocess"].rpartition(".")
    prepare = getattr(importlib.import_module(module), name)
else:
    scale, shift = np.array(task["scale"], np.float32), np.array(task["shift"], np.float32)

    def prepare(pixels: Any) -> Any:
        """The backbone's preprocessing."""
        return (pixels[..., ::-1] if task["reversed"] else pixels) * scale + shift


if os.path.isdir(task["pictures"]):
    import tensorflow as tf

    options = {"labels": None, "batch_size": 32, "shuffle": False, "verbose": False}
    pictures = keras.utils.image_dataset_from_directory(task["pictures"], image_size=size, **options)
    pictures = pictures.map(prepare).prefetch(tf.data.AUTOTUNE)
else:
    image = keras.utils.load_img(task["pictures"], target_size=size, interpolation="bilinear")
    pictures = prepare(np.expand_dims(keras.utils.img_to_array(image), 0))
np.save(task["output"], model.predict(pictures, verbose=0))
