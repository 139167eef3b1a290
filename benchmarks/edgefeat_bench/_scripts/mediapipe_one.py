"""One photo's feature with MediaPipe's ImageEmbedder."""

import json
import sys

# MediaPipe imports it if it is installed, and uses it for nothing here.
sys.modules["tensorflow"] = None  # type: ignore[assignment]  # prevents its import

import mediapipe  # noqa: E402  after the line above
import numpy as np  # noqa: E402
from mediapipe.tasks.python import BaseOptions, vision  # noqa: E402

task = json.loads(sys.argv[1])
options = vision.ImageEmbedderOptions(base_options=BaseOptions(model_asset_path=task["model"]))
with vision.ImageEmbedder.create_from_options(options) as embedder:
    found = embedder.embed(mediapipe.Image.create_from_file(task["pictures"]))
np.save(task["output"], np.asarray(found.embeddings[0].embedding)[None])
