"""Layers that cannot be exported are refused by name, before any conversion."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="needs the export extra")

import keras
import numpy as np

from edgefeat import ArgumentError
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._spec import NetworkSpec


def saved(path: Path, name: str, *, recurrent: bool = False) -> NetworkSpec:
    picture = keras.Input((16, 16, 3))
    maps = keras.layers.Conv2D(4, 3, name=name)(picture)
    if recurrent:
        maps = keras.layers.LSTM(4, name="memory")(keras.layers.Reshape((14 * 14, 4))(maps))
    keras.Model(picture, maps).save(path)
    return NetworkSpec(backbone=str(path), preprocess="raw")


@pytest.mark.parametrize("name", ["with space", "größe", "a:0", "_x"])
def test_a_layer_whose_name_tensorflow_does_not_take_is_cut_at_by_its_own_name(tmp_path: Path, name: str) -> None:
    spec = dataclasses.replace(saved(tmp_path / "net.keras", name), layers=(name,))
    whole = keras.models.load_model(spec.backbone)
    trunk = build_trunk(spec)
    assert trunk.layers == (name,)
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)
    # In graph mode: there the name would be one of TensorFlow's.
    np.testing.assert_allclose(trunk.model.predict_on_batch(pictures), np.asarray(whole(pictures)), rtol=1e-5)


def test_a_layer_that_loops_is_named_and_can_be_cut_off(tmp_path: Path) -> None:
    spec = saved(tmp_path / "net.keras", "maps", recurrent=True)
    with pytest.raises(ArgumentError, match=r"layer 'memory' \(LSTM\) contains a loop"):
        build_trunk(spec)
    assert build_trunk(dataclasses.replace(spec, layers=("maps",))).layers == ("maps",)
