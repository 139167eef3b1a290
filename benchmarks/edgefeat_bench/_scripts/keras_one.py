"""One photo's feature with Keras."""

import importlib
import json
import sys

import keras
import numpy as np

task = json.loads(sys.argv[1])
model = keras.models.load_model(task["model"])
image = keras.utils.load_img(task["pictures"], target_size=(task["height"], task["width"]), interpolation="bilinear")
pixels = np.expand_dims(keras.utils.img_to_array(image), 0)
if task["preprocess"]:
    module, _, name = task["preprocess"].rpartition(".")
    pixels = getattr(importlib.import_module(module), name)(pixels)
else:
    ordered = pixels[..., ::-1] if task["reversed"] else pixels
    pixels = ordered * np.array(task["scale"], np.float32) + np.array(task["shift"], np.float32)
np.save(task["output"], model.predict(pixels, verbose=0))
