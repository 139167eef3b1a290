"""Features with MediaPipe's ImageEmbedder: one photo, or a folder photo by photo, as it has no batches."""

import json
import os
import sys

# MediaPipe imports it if it is installed, and uses it for nothing here.
sys.modules["tensorflow"] = None  # type: ignore[assignment]  # prevents its import

import mediapipe  # noqa: E402  after the line above
import numpy as np  # noqa: E402
from mediapipe.tasks.python import BaseOptions, vision  # noqa: E402

task = json.loads(sys.argv[1])
paths = [task["pictures"]]
if os.path.isdir(task["pictures"]):
    paths = sorted(os.path.join(task["pictures"], name) for name in os.listdir(task["pictures"]))
options = vision.ImageEmbedderOptions(base_options=BaseOptions(model_asset_path=task["model"]))
with vision.ImageEmbedder.create_from_options(options) as embedder:
    found = [embedder.embed(mediapipe.Image.create_from_file(path)).embeddings[0].embedding for path in paths]
np.save(task["output"], np.stack(found))
