"""A folder's features with MediaPipe's ImageEmbedder, one photo after the other: it has no batches."""

import json
import sys
from pathlib import Path

# MediaPipe imports it if it is installed, and uses it for nothing here.
sys.modules["tensorflow"] = None  # type: ignore[assignment]  # prevents its import

import mediapipe  # noqa: E402  after the line above
import numpy as np  # noqa: E402
from mediapipe.tasks.python import BaseOptions, vision  # noqa: E402

task = json.loads(sys.argv[1])
options = vision.ImageEmbedderOptions(base_options=BaseOptions(model_asset_path=task["model"]))
with vision.ImageEmbedder.create_from_options(options) as embedder:
    images = (mediapipe.Image.create_from_file(str(path)) for path in sorted(Path(task["pictures"]).iterdir()))
    features = [np.asarray(embedder.embed(image).embeddings[0].embedding) for image in images]
np.save(task["output"], np.stack(features))
