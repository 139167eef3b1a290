"""One photo's feature with ONNX Runtime and Pillow."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

task = json.loads(sys.argv[1])
session = onnxruntime.InferenceSession(task["model"], providers=["CPUExecutionProvider"])
image = Image.open(task["pictures"]).convert("RGB").resize((task["width"], task["height"]), Image.Resampling.BILINEAR)
pixels = np.asarray(image)[..., ::-1] if task["reversed"] else np.asarray(image)
prepared = pixels.astype(np.float32) * np.array(task["scale"], np.float32) + np.array(task["shift"], np.float32)
np.save(task["output"], session.run(None, {session.get_inputs()[0].name: prepared[None]})[0])
