"""A small network trained here, for when no weights can be downloaded: run this module with the path to write.

It learns to recognize generated scenes in views of them. The scenes of the demo are not among them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgefeat_bench._setup.generated_photos import scene, view

#: Options of the export: the layer whose mean is the feature, and how pixels are scaled.
LAST_LAYER, PREPROCESSING = "features", "unit"

# Not the seed of the demo's photos.
_SEED = 7
_SIDE, _SCENES, _VIEWS, _EPOCHS = 96, 40, 24, 10


def _train(path: Path) -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(_SEED)
    scenes = [(index, scene(np.random.default_rng([_SEED, index]))) for index in range(_SCENES)]
    images = np.stack(
        [
            np.asarray(view(whole, (_SIDE, _SIDE), np.random.default_rng([_SEED, index, number])))
            for index, whole in scenes
            for number in range(_VIEWS)
        ]
    )
    labels = np.repeat(np.arange(_SCENES), _VIEWS)
    given = tensor = keras.Input((_SIDE, _SIDE, 3))
    widths = (16, 32, 64, 96)
    for number, width in enumerate(widths, 1):
        tensor = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(tensor)
        tensor = layers.BatchNormalization(momentum=0.9)(tensor)
        tensor = layers.ReLU(name=LAST_LAYER if number == len(widths) else f"block{number}")(tensor)
    scores = layers.Dense(_SCENES)(layers.GlobalAveragePooling2D()(tensor))
    model = keras.Model(given, scores, name="made_up_scenes")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    history = model.fit(images.astype(np.float32) / 255, labels, batch_size=64, epochs=_EPOCHS, verbose=0)
    model.save(path)
    accuracy = history.history["accuracy"][-1]
    sys.stdout.write(f"Trained on {len(images)} photos of {_SCENES} generated scenes; accuracy {accuracy:.0%}.\n")


if __name__ == "__main__":
    _train(Path(sys.argv[1]))
