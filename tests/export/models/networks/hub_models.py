"""The small networks of KerasHub, with weights that are not those of a new network; their presets and features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.export.models.networks.hub_networks import NETWORKS

__all__ = ["build", "own", "save"]


def build(name: str) -> Any:
    """Return the network, with random biases, norms and positions, which are zero or one in a new network."""
    import keras
    import keras_hub

    keras.utils.set_random_seed(1)
    model = NETWORKS[name](keras_hub.models)
    random = np.random.default_rng(5)
    for weight in model.weights:
        value = weight.numpy()
        if value.dtype.kind != "f":
            continue
        if value.ndim <= 1 or "bias" in weight.path or "embedding" in weight.path:
            noisy = value + random.normal(0, 0.2, value.shape)
            weight.assign(np.abs(noisy) if "variance" in weight.path else noisy)
    return model


def save(model: Any, folder: Path, **converter: Any) -> Path:
    """Write the preset of a backbone, with an image converter if it has arguments, and return the folder."""
    import keras_hub

    model.save_to_preset(str(folder))
    if converter:
        kinds = [
            one
            for one in vars(keras_hub.layers).values()
            if isinstance(one, type)
            and issubclass(one, keras_hub.layers.ImageConverter)
            and getattr(one, "backbone_cls", None) is type(model)
        ]
        (kinds or [keras_hub.layers.ImageConverter])[0](**converter).save_to_preset(str(folder))
    return folder


def own(model: Any, pictures: Any) -> Any:
    """Return what KerasHub's own model gives for uint8 images that it takes as -1 to 1.

    Of two towers it is the embedding of the images, of a pyramid its last level.
    """
    import keras

    prepared = keras.ops.convert_to_tensor(pictures.astype(np.float32) / 127.5 - 1)
    if hasattr(model, "get_vision_embeddings"):
        return np.asarray(model.get_vision_embeddings(prepared))
    if len(model.inputs) > 1:
        model = next(getattr(model, name) for name in ("image_encoder", "vit_encoder") if hasattr(model, name))
    result = model(prepared, training=False)
    return np.asarray(list(result.values())[-1] if isinstance(result, dict) else result)
