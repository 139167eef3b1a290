"""MediaPipe's ImageEmbedder on pictures: `python mediapipe_embedder.py OUTPUT.npz PICTURES.npz MODEL...`.

A process of its own, because MediaPipe brings its own TensorFlow Lite. The output has, under "index of the model/name
of the head" (its index, where it has no name), a row for each picture, in the order of the pictures' names. Exit status
3: MediaPipe, or a library of the system it needs, is not here.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

# MediaPipe's parts that use TensorFlow are not needed here, and importing it takes ten times as long as all the rest.
sys.modules["tensorflow"] = None  # type: ignore[assignment]

try:
    import mediapipe
    from mediapipe.tasks.python import vision
except (ImportError, OSError) as error:
    print(error, file=sys.stderr)
    sys.exit(3)


def main(output: str, pictures: str, *models: str) -> None:
    """Embed every array (H, W, 3) of `pictures` with every model."""
    rows: dict[str, list[NDArray[np.float32]]] = {}
    with np.load(pictures) as file:
        given = [np.ascontiguousarray(file[name]) for name in sorted(file.files)]
    for index, model in enumerate(models):
        with vision.ImageEmbedder.create_from_model_path(model) as embedder:
            for picture in given:
                image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
                for found in embedder.embed(image).embeddings:
                    head = found.head_name or str(found.head_index)
                    rows.setdefault(f"{index}/{head}", []).append(np.array(found.embedding, np.float32))
    arrays: dict[str, Any] = {name: np.stack(features) for name, features in rows.items()}
    np.savez(output, **arrays)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except OSError as error:  # its library is loaded when it is first used
        print(error, file=sys.stderr)
        sys.exit(3 if "shared object" in str(error) else 1)
