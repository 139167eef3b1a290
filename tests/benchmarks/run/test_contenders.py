"""The full TensorFlow path and the peers on a small network of Keras, and what is measured in whole processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import LONG

pytest.importorskip("psutil", reason="needs the bench extra")
pytest.importorskip("tensorflow", reason="needs the export extra")

from edgefeat._bundle.json_records import to_json
from edgefeat._engines.device.cache import tuned_file
from edgefeat._engines.tuning_record import Candidate, Tuning
from edgefeat_bench._contenders.registry import KINDS, program_of
from edgefeat_bench._measure.bulk import own_programs
from edgefeat_bench._measure.programs import edgefeat_program, scripts
from edgefeat_bench._records import Result, Run
from edgefeat_bench._run.benchmark import run
from edgefeat_bench._setup.generated_photos import make_photos
from edgefeat_bench._setup.settings import Extent, Settings
from edgefeat_bench._setup.setup import set_up

# Its first blocks: each way of TensorFlow traces every layer, in a process of its own.
NETWORK = ["mobilenet", "--alpha", "0.25", "--weights", "random", "--input-size", "64", "--layer", "conv_pw_3_relu"]


#: Other ways to call the same model: `make test-long`.
LEFT_OUT = () if "EDGEFEAT_LONG" in os.environ else ("keras model(x)", "tf.function")


def ignore(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def folder(small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with random weights, and labelled pictures."""
    folder = tmp_path_factory.mktemp("bench")
    wanted = ["--variants", "tflite-float32,onnx-float32", "-o", str(folder / "m.edgefeat")]
    wanted += ["--calibration", str(small_photos)]
    command = [sys.executable, "-m", "edgefeat", "export", *NETWORK, *wanted]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    for path in make_photos(folder / "all", scenes=3, views=3):
        (folder / "labelled" / path.stem[:6]).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "labelled" / path.stem[:6] / path.name)
    return folder


def settings(folder: Path, photos: Path, **more: Any) -> Settings:
    return Settings(
        bundle=folder / "m.edgefeat",
        output=folder / "results",
        threads=1,
        extent=Extent(photos=2, rounds=2, starts=1, bulk_pictures=6, bulk_rounds=1),
        photos=str(folder / "all"),
        sizes=("640x480", "array"),
        without=("tuned", "torch", *LEFT_OUT),
        peaks=False,
        labelled=str(folder / "labelled"),
        calibration=str(photos),
        right_cosine=0.7,  # a random network makes much of the last bit of a pixel
        **more,
    )


@pytest.fixture(scope="module")
def measured(folder: Path, small_photos: Path) -> Run:
    return run(settings(folder, small_photos), command="test", tell=ignore)


def of_kind(measured: Run, kind: str) -> Result:
    return next(one for one in measured.results if one.contender.kind == kind)


@pytest.mark.parametrize(
    "kind",
    ["keras-predict", "tf-saved-model", *(pytest.param(one, marks=LONG) for one in ("keras-call", "tf-function"))],
)
def test_each_way_of_tensorflow_gives_the_features_of_keras(measured: Run, kind: str) -> None:
    found = of_kind(measured, kind)
    assert found.status == "ok", found.reason
    assert found.minimum_cosine is not None
    # Random weights are built again, from their seed and the same pictures; TensorFlow scales a little otherwise.
    assert found.minimum_cosine > (0.7 if kind == "tf-saved-model" else 0.999)
    assert "tensorflow" in found.versions
    assert [len(series.seconds) for series in found.series] == [4, 4]


@pytest.mark.parametrize("kind", ["litert", "onnxruntime", "openvino", "mediapipe", "ncnn", "fastembed"])
def test_each_peer_that_is_installed_is_right_and_any_other_has_its_remedy(measured: Run, kind: str) -> None:
    found = of_kind(measured, kind)
    modules = KINDS[kind].modules
    if any(find_spec(module) is None for module in modules):
        assert found.status == "absent"
        assert found.remedy.startswith("pip install")
        return
    if found.status == "absent":  # on a machine without a desktop it wants libraries of the system's
        assert "cannot open shared object file" in found.reason
        pytest.skip(f"{found.reason} ({found.remedy})")
    assert found.minimum_cosine is not None, found.reason
    assert [len(series.seconds) for series in found.series] == [4, 4]
    if kind in (
        "litert",
        "onnxruntime",
        "ncnn",
    ):  # the others scale in ways of their own, which a random network makes much of
        assert found.status == "ok", found.reason
        assert found.minimum_cosine > 0.999


def test_features_are_held_against_keras_itself(measured: Run) -> None:
    assert measured.reference.startswith("keras")
    ours = of_kind(measured, "edgefeat")
    assert ours.minimum_cosine is not None
    assert ours.minimum_cosine > 0.99


def test_cold_starts_are_whole_processes_with_their_memory_and_what_they_install(measured: Run) -> None:
    starts = {one.name: one for one in measured.cold_starts}
    keras, ours = starts["keras script"], starts["edgefeat extract"]
    assert ours.seconds[0] < keras.seconds[0]
    assert ours.peak_memory_bytes < keras.peak_memory_bytes / 3
    assert 50e6 < ours.installed_bytes < keras.installed_bytes / 5
    assert "onnxruntime and Pillow script" in starts


def test_tensorflow_and_whole_programs_run_as_if_only_what_they_need_were_installed(
    measured: Run, folder: Path, small_photos: Path
) -> None:
    setup = set_up(settings(folder, small_photos, resume=True), ignore)
    ours = edgefeat_program(setup, "e", "-o", ".npy", {})
    programs = [*scripts(setup, folder=False), *scripts(setup, folder=True), ours]
    commands = {one.name: one.command("photo.jpg", Path("output")) for one in programs}
    assert {"keras script", "keras dataset and predict", "e"} <= set(commands)
    commands |= {one: program_of(KINDS[one]) for one in KINDS if KINDS[one].side == "tensorflow" and KINDS[one].alone}
    assert {"keras-predict", "keras-call", "tf-function", "tf-saved-model"} <= set(commands)
    for name, command in commands.items():
        hidden = command[3].split(",")
        assert "pytest" in hidden, name
        assert not {"numpy", "PIL"} & {*hidden}, name
    assert measured.isolated
    assert all(one.isolated for one in measured.cold_starts)


def test_a_folder_at_once_is_taken_by_each_program_that_can(measured: Run) -> None:
    bulk = {one.name: one for one in measured.bulk}
    assert {"keras dataset and predict", "edgefeat extract", "edgefeat extract --into"} <= set(bulk)
    assert all(one.pictures == 6 and min(one.seconds) > 0 and one.peak_memory_bytes > 1e7 for one in bulk.values())


def test_a_folder_is_computed_with_the_untuned_default_and_with_what_tune_chose_under_its_name(
    folder: Path, small_photos: Path, tmp_path: Path
) -> None:
    setup = set_up(settings(folder, small_photos, resume=True), ignore)
    shared = {"engine_version": "1", "status": "ok", "detail": ""}
    candidates = (
        Candidate("onnx-float32", "onnxruntime", threads=2, milliseconds=1.0, **shared),
        Candidate("tflite-float32", "litert", threads=1, milliseconds=2.0, **shared),
    )
    tuning = Tuning(setup.bundle.identity, "a processor", candidates, False)
    (tmp_path / tuned_file(setup.bundle.identity)).write_text(json.dumps(to_json(tuning)))
    tuned = {"EDGEFEAT_CACHE": str(tmp_path)}
    found = own_programs(replace(setup, environment=tuned), {"EDGEFEAT_CACHE": "empty"})
    assert [(one.name, one.environment["EDGEFEAT_CACHE"]) for one in found] == [
        ("edgefeat extract", "empty"),
        ("edgefeat extract --into", "empty"),
        ("edgefeat extract, tuned: tflite-float32 on litert", str(tmp_path)),  # workers have one thread each
    ]
    assert len(own_programs(replace(setup, environment=tuned, untuned="it failed"), {})) == 2


def test_quality_is_of_keras_first_and_exact_variants_share_it(measured: Run) -> None:
    keras, *others = measured.quality
    assert (keras.mean_cosine, keras.overlap) == pytest.approx((1, 1))
    assert (keras.photos, keras.classes) == (9, 3)
    ours = next(one for one in others if one.side == "edgefeat")
    assert ours.mean_cosine > 0.99
    assert 0 <= ours.linear_accuracy <= 1


def test_what_was_prepared_is_used_again_and_what_was_measured_is_not_measured_twice(
    measured: Run, folder: Path, small_photos: Path
) -> None:
    told: list[str] = []
    again = run(settings(folder, small_photos, resume=True), command="test", tell=told.append)
    assert again.results == measured.results
    assert again.cold_starts == measured.cold_starts
    assert again.bulk == measured.bulk
    assert not any("photos with" in line for line in told)
