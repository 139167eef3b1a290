"""The benchmark on real contenders, in real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("psutil", reason="needs the bench extra")

import edgefeat
from edgefeat_bench._pictures import make_pictures
from edgefeat_bench._records import Contender, Run
from edgefeat_bench._run import default_contenders, run
from edgefeat_bench._sheet import nearest, write_sheet
from edgefeat_bench._statistics import median, ratio

BUNDLE = Path(__file__).parents[1] / "data" / "one_tap.edgefeat"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("photos")
    return [str(path) for path in make_pictures(folder, scenes=2, views=2)]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgefeat_bench._command", *arguments], capture_output=True, text=True, check=False
    )


def test_every_installed_engine_and_variant_is_a_contender_beside_keras() -> None:
    contenders = default_contenders(edgefeat.Bundle.open(BUNDLE))
    assert contenders[0].kind == "keras-predict"
    pairs = {(contender.variant, contender.engine) for contender in contenders[1:]}
    assert ("tflite-float32", "litert") in pairs
    assert ("onnx-int8", "onnxruntime") in pairs


def test_a_run_keeps_every_sample_and_reads_back_equal(photos: list[str], tmp_path: Path) -> None:
    ours = default_contenders(edgefeat.Bundle.open(BUNDLE))[1:3]
    measured = run(str(BUNDLE), photos, rounds=3, contenders=ours)
    assert [len(result.seconds) for result in measured.results] == [12, 12]
    assert all(result.status == "ok" and min(result.seconds) > 0 for result in measured.results)
    measured.write(tmp_path / "run.json")
    assert Run.read(tmp_path / "run.json") == measured


def test_a_contender_with_wrong_features_is_shown_as_wrong(photos: list[str]) -> None:
    right = Contender("right", "edgefeat", "tflite-float32", "litert")
    broken = Contender("broken", "edgefeat", "tflite-int8", "litert")  # int8 is never equal: wrong by this strict rule
    measured = run(str(BUNDLE), photos, rounds=1, contenders=[right, broken], right_cosine=1 - 1e-9)
    assert measured.results[0].status == "ok"
    assert measured.results[1].status == "wrong"
    assert "cosine" in measured.results[1].reason


def test_a_contender_that_is_not_installed_is_listed_as_absent(photos: list[str]) -> None:
    ours = Contender("ours", "edgefeat", "tflite-float32", "litert")
    absent = Contender("absent", "edgefeat", "tflite-float32", "tflite-runtime")
    measured = run(str(BUNDLE), photos[:1], rounds=1, contenders=[ours, absent])
    assert measured.results[1].status == "absent"
    assert "pip install" in measured.results[1].reason
    assert measured.results[1].seconds == ()


@pytest.mark.parametrize(
    "arguments",
    [["run", "nowhere.edgefeat", "."], ["run", str(BUNDLE), str(BUNDLE)]],
    ids=["no bundle", "no photo"],
)
def test_bad_use_is_one_clear_sentence(arguments: list[str]) -> None:
    finished = bench(*arguments)
    assert finished.returncode in (1, 2)
    assert "Traceback" not in finished.stderr
    assert finished.stderr.startswith("edgefeat-bench: ")


def test_a_result_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps({"format": 99}))
    with pytest.raises(edgefeat.ArgumentError, match="99"):
        Run.read(path)


def test_the_median_lies_within_its_interval_and_the_ratio_is_pairwise() -> None:
    samples = np.random.default_rng(0).uniform(1, 2, 50)
    estimate = median(samples.tolist())
    assert estimate.low <= estimate.median <= estimate.high
    assert estimate.median == pytest.approx(float(np.median(samples)))
    drifting = samples * np.linspace(1, 10, 50)
    assert ratio((3 * drifting).tolist(), drifting.tolist()).median == pytest.approx(3)


def test_nearest_neighbours_and_their_sheet(tmp_path: Path, photos: list[str]) -> None:
    features = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    neighbours = nearest(features, 2)
    assert [row[0][0] for row in neighbours] == [1, 0, 3, 2]
    write_sheet(photos, neighbours, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 3 * 120
        assert len(sheet.getcolors(maxcolors=1 << 24) or []) > 100


def test_cold_starts_are_whole_processes_with_their_memory_and_what_they_install(
    tmp_path: Path, photos: list[str]
) -> None:
    pytest.importorskip("tensorflow", reason="needs the export extra")
    from edgefeat_bench._cold import cold_starts

    bundle = tmp_path / "m.edgefeat"
    network = ["mobilenet", "--alpha", "0.25", "--weights", "random", "--input-size", "32"]
    made = subprocess.run(
        [sys.executable, "-m", "edgefeat", "export", *network, "--variants", "tflite-float32", "-o", str(bundle)],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    keras, ours = cold_starts(str(bundle), photos[0], rounds=1, folder=tmp_path, show=False)
    assert keras.name == "keras script"
    assert ours.seconds[0] < keras.seconds[0]
    assert ours.peak_memory_bytes < keras.peak_memory_bytes / 3
    assert 50e6 < ours.installed_bytes < keras.installed_bytes / 5
