"""An export does not depend on the settings in the user's keras.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the export extra is not installed")

NETWORK = ["mobilenet", "--alpha", "0.25", "--weights", "random", "--input-size", "64", "--layer", "conv_pw_2_relu"]


def exported(photos: Path, output: Path, keras_home: Path) -> dict[str, bytes]:
    command = [sys.executable, "-m", "edgefeat", "export", *NETWORK, "--variants", "tflite-float32", "--project", "4"]
    done = subprocess.run(
        [*command, "--calibration", str(photos), "-o", str(output)],
        env={**os.environ, "KERAS_HOME": str(keras_home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in output.glob("*.tflite")}


def test_layout_and_type_of_numbers_are_not_those_of_keras_json(small_photos: Path, tmp_path: Path) -> None:
    settings = {"floatx": "float16", "epsilon": 0.01, "backend": "tensorflow", "image_data_format": "channels_first"}
    for name in ("plain", "set"):
        (tmp_path / name).mkdir()
    (tmp_path / "set" / "keras.json").write_text(json.dumps(settings), encoding="utf-8")
    plain, other = (exported(small_photos, tmp_path / f"{name}.edgefeat", tmp_path / name) for name in ("plain", "set"))
    assert plain == other != {}
