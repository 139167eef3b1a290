"""One photo's feature with Keras."""

import importlib
import json
import sys

import keras
import numpy as np

told = json.loads(sys.argv[1])
model = keras.models.load_model(told["model"])
image = keras.utils.load_img(told["pictures"], target_size=(told["height"], told["width"]), interpolation="bilinear")
pixels = np.expand_dims(keras.utils.img_to_array(image), 0)
if told["preprocess"]:
    module, _, name = told["preprocess"].rpartition(".")
    pixels = getattr(importlib.import_module(module), name)(pixels)
else:
    ordered = pixels[..., ::-1] if told["reversed"] else pixels
    pixels = ordered * np.array(told["scale"], np.float32) + np.array(told["shift"], np.float32)
np.save(told["output"], model.predict(pixels, verbose=0))
