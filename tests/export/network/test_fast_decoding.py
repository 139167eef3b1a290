"""`fast` decoding gives the features of `exact` decoding, with real weights on real photos."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from edgefeat._images.form import Decoding, PictureForm
from edgefeat._images.picture import read_picture

NETS = {
    "MobileNetV2": (0.35, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"),
    "MobileNet": (0.25, "mobilenet_2_5_224_tf_no_top.h5"),
}


@cache  # both networks take the same
def pictures(photos: tuple[Path, ...], size: int, decoding: Decoding) -> Any:
    return np.stack([read_picture(photo, PictureForm(size, size), decoding) for photo in photos])


def features(network: Any, pictures: Any) -> Any:
    """Of length 1."""
    rows = network.predict(pictures.astype(np.float32) / 127.5 - 1, verbose=0)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [224, 96])
def test_fast_features_are_the_exact_ones(shared_data: Path, name: str, size: int) -> None:
    photos = sorted((shared_data / "camera").iterdir())
    photos += sorted((shared_data / "flowers17").glob("*/*.jpg"))[::17]
    photos += sorted((shared_data / "calibration").iterdir())[::3]
    alpha, weights = NETS[name]
    network = getattr(keras.applications, name)(
        alpha=alpha,
        include_top=False,
        pooling="avg",
        weights=str(shared_data / "keras-home" / "models" / weights),  # trained at 224 pixels, whatever the size
        input_shape=(size, size, 3),
    )
    fast, exact = (features(network, pictures(tuple(photos), size, way)) for way in get_args(Decoding))
    cosines = (fast * exact).sum(axis=1)
    worst = sorted(zip(cosines.tolist(), [photo.name for photo in photos], strict=True))[0]
    assert worst[0] >= 0.995, worst
    assert len(photos) > 70
