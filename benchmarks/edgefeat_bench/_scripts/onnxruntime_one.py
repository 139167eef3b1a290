"""One photo's feature with ONNX Runtime and Pillow."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

told = json.loads(sys.argv[1])
session = onnxruntime.InferenceSession(told["model"], providers=["CPUExecutionProvider"])
image = Image.open(told["pictures"]).convert("RGB").resize((told["width"], told["height"]), Image.Resampling.BILINEAR)
pixels = np.asarray(image)[..., ::-1] if told["reversed"] else np.asarray(image)
prepared = pixels.astype(np.float32) * np.array(told["scale"], np.float32) + np.array(told["shift"], np.float32)
np.save(told["output"], session.run(None, {session.get_inputs()[0].name: prepared[None]})[0])
