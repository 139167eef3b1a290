"""A small network, trained here, for where no weights can be had: this module run with a path writes it there.

It learns to tell made-up scenes apart, by crops, sides and light of each; those that the demo shows are not among them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgefeat_bench._setup.generated_photos import whole_scene

__all__ = ["LAST_LAYER", "PREPROCESSING", "SIDE", "views_of"]

#: What the export has to be told of it: the layer whose mean is the feature, how pixels are scaled, their number.
LAST_LAYER, PREPROCESSING, SIDE = "features", "unit", 96

# Other than the seed of the pictures that the demo shows.
_SEED = 7
_SCENES, _VIEWS, _EPOCHS = 40, 24, 10


def views_of(index: int, count: int, *, seed: int = _SEED) -> NDArray[np.uint8]:
    """Views of one made-up scene (count, SIDE, SIDE, 3): other crops, sides, light and grain."""
    random = np.random.default_rng([seed, index, count])
    whole = whole_scene(np.random.default_rng([seed, index]))
    views = []
    for _ in range(count):
        width = random.uniform(0.7, 0.95) * whole.width
        left, upper = random.uniform(0, whole.width - width), random.uniform(0, whole.height - 0.75 * width)
        box = (left, upper, left + width, upper + 0.75 * width)
        view = np.asarray(whole.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box), np.float32)
        light, grain = random.uniform(0.7, 1.3), random.normal(0, 3, (SIDE, SIDE, 1))
        views.append((view[:, :: 1 if random.uniform() < 0.5 else -1] * light + grain).clip(0, 255))
    return np.stack(views).astype(np.uint8)


def _train(path: Path) -> None:
    import keras
    from keras import layers

    keras.utils.set_random_seed(_SEED)
    pictures = np.concatenate([views_of(index, _VIEWS) for index in range(_SCENES)])
    labels = np.repeat(np.arange(_SCENES), _VIEWS)
    given = tensor = keras.Input((SIDE, SIDE, 3))
    widths = (16, 32, 64, 96)
    for number, width in enumerate(widths, 1):
        tensor = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(tensor)
        tensor = layers.BatchNormalization(momentum=0.9)(tensor)
        tensor = layers.ReLU(name=LAST_LAYER if number == len(widths) else f"block{number}")(tensor)
    scores = layers.Dense(_SCENES)(layers.GlobalAveragePooling2D()(tensor))
    model = keras.Model(given, scores, name="made_up_scenes")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    history = model.fit(pictures.astype(np.float32) / 255, labels, batch_size=64, epochs=_EPOCHS, verbose=0)
    model.save(path)
    sys.stdout.write(
        f"Trained on {len(pictures)} made-up pictures of {_SCENES} scenes: it names the scene of "
        f"{100 * history.history['accuracy'][-1]:.0f} % of them.\n"
    )


if __name__ == "__main__":
    _train(Path(sys.argv[1]))
