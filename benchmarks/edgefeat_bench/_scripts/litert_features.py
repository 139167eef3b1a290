"""One photo's feature with LiteRT and Pillow."""

import json
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

task = json.loads(sys.argv[1])
interpreter = Interpreter(model_path=task["model"])
given = interpreter.get_input_details()[0]["index"]
interpreter.resize_tensor_input(given, [1, task["height"], task["width"], 3])
interpreter.allocate_tensors()
opened = Image.open(task["pictures"])
whole = opened if opened.mode == "RGB" else opened.convert("RGB")
image = whole.resize((task["width"], task["height"]), Image.Resampling.BILINEAR)
pixels = np.asarray(image)[..., ::-1] if task["reversed"] else np.asarray(image)
prepared = pixels.astype(np.float32) * np.array(task["scale"], np.float32) + np.array(task["shift"], np.float32)
interpreter.set_tensor(given, prepared[None])
interpreter.invoke()
np.save(task["output"], interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
