"""Conversions hold few copies of the weights: a laptop with 8 GB exports a VGG16 with its dense layers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="needs the export extra")

import keras
from tests.conftest import LONG

from edgefeat_export import StepCost, export

#: The most copies of the weights that a step may hold, with what its process kept of earlier steps. TensorFlow's
#: converter and tf2onnx as they come hold 10 to 12.
COPIES = 9


def _peaks(folder: Path, photos: Path, units: int) -> dict[str, int]:
    """Export a network with one dense layer and return the peak memory of each step."""
    inputs = keras.Input((64, 64, 3))
    maps = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    outputs = keras.layers.Dense(units, name="wide")(keras.layers.Flatten()(maps))
    keras.Model(inputs, outputs).save(folder / f"{units}.keras")
    costs: list[StepCost] = []
    export(
        folder / f"{units}.keras",
        folder / f"{units}.edgefeat",
        preprocess="unit",
        calibration=photos,
        variants=["tflite-float32", "onnx-float32"],
        on_step=costs.append,
    )
    return {cost.step: cost.peak_bytes for cost in costs}


@LONG
def test_a_large_dense_layer_is_not_copied_many_times(small_photos: Path, tmp_path: Path) -> None:
    units = 512
    weights = 64 * 64 * 8 * units * 4
    small, large = (_peaks(tmp_path, small_photos, each) for each in (8, units))
    assert {"tflite-float32", "onnx-float32"} <= large.keys()
    for step in ("tflite-float32", "onnx-float32"):
        if large[step] == 0:
            pytest.skip("this system does not report the memory of a step")
        assert large[step] - small[step] < COPIES * weights, step
