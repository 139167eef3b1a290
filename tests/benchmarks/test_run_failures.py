"""A contender that is wrong, dies, or cannot run costs only itself."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("psutil", reason="needs the bench extra")

from tests.benchmarks.runs import BUNDLE, OURS, OWN, QUICK, measured, result


def test_a_bundle_whose_model_is_broken_shows_it_as_wrong(photos: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the export extra to break a model with")
    broken = tmp_path / BUNDLE.name
    shutil.copytree(BUNDLE, broken)
    path = broken / "onnx-float32.onnx"
    model = onnx.load(path)
    weights = max(model.graph.initializer, key=lambda one: int(np.prod(one.dims)))
    values = onnx.numpy_helper.to_array(weights)
    shuffled = np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape)
    weights.CopyFrom(onnx.numpy_helper.from_array(shuffled, weights.name))
    onnx.save(model, path)
    manifest = json.loads((broken / "manifest.json").read_text())
    for variant in manifest["variants"]:
        if variant["name"] == "onnx-float32":
            data = path.read_bytes()
            variant["file"].update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    (broken / "manifest.json").write_text(json.dumps(manifest))
    run = measured(tmp_path / "results", photos, *QUICK, *OURS, bundle=broken)
    wrong = result(run, "edgefeat onnx-float32 onnxruntime")
    assert wrong.status == "wrong"
    assert "320x240" in wrong.reason or "array" in wrong.reason
    assert wrong.series[0].seconds  # timed all the same: the page shows it as wrong, not as missing
    assert result(run, "edgefeat tflite-float32 litert").status == "ok"


@pytest.mark.parametrize(
    ("feature", "last", "status", "words"),
    [
        (json.dumps([1.0] * 16), 999, "wrong", "cosine"),
        (json.dumps([1.0] * 3), 999, "wrong", "3 numbers"),
        (json.dumps([float("nan")] * 16), 999, "wrong", "not finite"),
        (json.dumps([1.0] * 16), 5, "died", "the battery is empty"),
        (json.dumps("?"), 999, "died", "not understood"),
    ],
    ids=["other features", "too few numbers", "no numbers", "ends midway", "not the protocol"],
)
def test_a_contender_of_the_users_own_costs_only_itself(
    feature: str, last: int, status: str, words: str, photos: Path, tmp_path: Path
) -> None:
    script = tmp_path / "own.py"
    script.write_text(OWN)
    added = f"own={sys.executable} {script} '{feature}' {last}"
    run = measured(tmp_path, photos, *QUICK, *OURS, "--only", "own", "--add", added)
    own, ours = result(run, "own"), result(run, "edgefeat tflite-float32 litert")
    assert own.status == status
    assert words in own.reason
    assert ours.status == "ok"
    assert len(ours.series[0].seconds) == 4
    if status == "wrong":
        assert own.series[0].seconds == (0.5,) * 4


def test_a_contender_cannot_take_no_time(photos: Path, tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text(OWN.replace("0.5", "0.0"))
    added = f"own={sys.executable} {script} '{json.dumps([1.0] * 16)}' 999"
    run = measured(tmp_path, photos, *QUICK, "--only", "own", "--add", added)
    assert result(run, "own").status == "died"
    assert "0 seconds" in result(run, "own").reason


def test_packages_that_do_not_fit_together_are_absent_with_the_command_that_mends_them(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a torchvision built for another PyTorch raises when timm imports it: no ImportError.
    (tmp_path / "packages" / "timm").mkdir(parents=True)
    (tmp_path / "packages" / "torch").mkdir()
    (tmp_path / "packages" / "torch" / "__init__.py").touch()
    (tmp_path / "packages" / "timm" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"), prepend=os.pathsep)
    run = measured(tmp_path, photos, *QUICK, *OURS[:2], "--only", "torch")
    torch = result(run, "torch timm")
    assert torch.status == "absent"
    assert "operator torchvision::nms does not exist" in torch.reason
    assert torch.remedy == "pip install --upgrade torch torchvision timm"


def test_a_program_that_cannot_run_here_costs_only_itself(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What MediaPipe says on a server without graphics.
    (tmp_path / "packages" / "mediapipe").mkdir(parents=True)
    (tmp_path / "packages" / "mediapipe" / "__init__.py").write_text(
        "raise OSError('libGLESv2.so.2: cannot open shared object file')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"), prepend=os.pathsep)
    run = measured(tmp_path, photos, *QUICK, *OURS[:2], "--only", "mediapipe tflite-float32", "--cold")
    peer = result(run, "mediapipe tflite-float32")
    assert peer.status == "absent"
    assert "libGLESv2.so.2" in peer.reason
    assert peer.remedy.startswith("apt-get install libgles2 ")
    assert [one.name for one in run.cold_starts] == ["edgefeat extract"]
    assert run.after is not None


def test_a_command_that_is_not_there_died(photos: Path, tmp_path: Path) -> None:
    run = measured(tmp_path, photos, *QUICK, *OURS[:2], "--only", "gone", "--add", "gone=/nowhere/at/all")
    assert result(run, "gone").status == "died"
    assert "/nowhere/at/all" in result(run, "gone").reason
