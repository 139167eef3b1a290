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

from tests.benchmarks.run.runs import BUNDLE, OURS, OWN, QUICK, measured, result

from edgefeat import EdgefeatError
from edgefeat_bench._processes import run_module
from edgefeat_bench._records import Run


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


#: Contenders of the user's own: the feature, the picture at which it ends, the seconds, its status, and why.
SPOILT = {
    "own other features": ([1.0] * 16, 999, 0.5, "wrong", "cosine"),
    "own too few numbers": ([1.0] * 3, 999, 0.5, "wrong", "3 numbers"),
    "own no numbers": ([float("nan")] * 16, 999, 0.5, "wrong", "not finite"),
    "own ends midway": ([1.0] * 16, 5, 0.5, "died", "the battery is empty"),
    "own not the protocol": ("?", 999, 0.5, "died", "not understood"),
    "own no time": ([1.0] * 16, 999, 0.0, "died", "0 seconds"),
}


@pytest.fixture(scope="module")
def with_spoilt(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two contenders of edgefeat, and all that are spoilt."""
    folder = tmp_path_factory.mktemp("spoilt")
    script = folder / "own.py"
    script.write_text(OWN)
    added = ["--add", "own gone=/nowhere/at/all"]
    for name, (feature, last, seconds, *_) in SPOILT.items():
        added += ["--add", f"{name}={sys.executable} {script} '{json.dumps(feature)}' {last} {seconds}"]
    return measured(folder, photos, *QUICK, *OURS, "--only", "own", *added)


@pytest.mark.parametrize("name", SPOILT)
def test_a_contender_of_the_users_own_costs_only_itself(name: str, with_spoilt: Run) -> None:
    *_, status, words = SPOILT[name]
    own, ours = result(with_spoilt, name), result(with_spoilt, "edgefeat tflite-float32 litert")
    assert own.status == status
    assert words in own.reason
    assert ours.status == "ok"
    assert len(ours.series[0].seconds) == 4
    if status == "wrong":
        assert own.series[0].seconds == (0.5,) * 4


def test_a_command_that_is_not_there_died(with_spoilt: Run) -> None:
    gone = result(with_spoilt, "own gone")
    assert gone.status == "died"
    assert "/nowhere/at/all" in gone.reason


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


def test_what_a_command_said_is_the_reason(tmp_path: Path) -> None:
    with pytest.raises(EdgefeatError, match="no bundle") as failure:
        run_module("edgefeat", "verify", str(tmp_path / "no bundle"))
    assert "see docs/" not in str(failure.value)
    with pytest.raises(EdgefeatError, match=r"words words \.\.\.$") as failure:
        run_module("edgefeat", "verify", "words " * 100)
    assert len(str(failure.value)) <= 204
