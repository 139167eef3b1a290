"""`edgefeat-bench run` as a user runs it: real contenders, real processes, the result read back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("psutil", reason="needs the bench extra")

import edgefeat
from edgefeat_bench._contenders.interface import Task
from edgefeat_bench._contenders.kinds import KINDS, opening_of
from edgefeat_bench._records import Contender, Result, Run
from edgefeat_bench._setup.generated_photos import make_photos

BUNDLE = Path(__file__).parents[1] / "data" / "one_tap.edgefeat"
QUICK = ["--sizes", "320x240,array", "--pictures", "2", "--rounds", "2", "--no-cold", "--no-bulk", "--no-peak"]
OURS = ["--only", "edgefeat tflite-float32 litert", "--only", "edgefeat onnx-float32 onnxruntime"]

# A shell shows both as 130. Python ends itself by the signal, whatever its exit status, where the interruption came
# while a string was evaluated, as psutil does now and then.
INTERRUPTED = (130, -signal.SIGINT)

# A contender of the user's own. It says what it is told to as its feature; at the `last` picture it ends.
OWN = """
import json, sys
import numpy as np
feature, last = sys.argv[1:]
print(json.dumps({"versions": {"own": "1"}, "model_bytes": 3}), flush=True)
for number, line in enumerate(sys.stdin):
    asked = json.loads(line)
    if number == int(last):
        sys.exit("the battery is empty")
    assert ("file" in asked) != ("array" in asked)
    print(json.dumps({"seconds": 0.5, "feature": json.loads(feature)}), flush=True)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder, scenes=2, views=1)
    return folder


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgefeat_bench._commands.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A run that is not left behind where the test fails."""
    command = [sys.executable, "-m", "edgefeat_bench._commands.main", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # it ends the contenders that it has stopped
            process.communicate(timeout=60)


def measured(output: Path, *arguments: str | Path, bundle: Path = BUNDLE) -> Run:
    done = bench("run", bundle, *arguments, "--threads", "1", "-o", output)
    assert done.returncode == 0, done.stderr
    return Run.read(output / "tiny_last_32-1t.json")


def result(run: Run, name: str) -> Result:
    (found,) = [one for one in run.results if one.contender.name == name]
    return found


@pytest.fixture(scope="module")
def plain(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("plain")
    return measured(output, photos, *QUICK, "--without", "tuned", "--without", "mediapipe", "--without", "torch")


def test_every_sample_of_every_round_is_kept_with_its_stages(plain: Run) -> None:
    assert plain.rounds == 2
    assert [one.name for one in plain.photos] == ["320x240", "640x480 array"]
    ours = result(plain, "edgefeat tflite-float32 litert")
    assert ours.status == "ok"
    assert ours.versions["edgefeat"] == plain.edgefeat
    assert ours.model_bytes == (BUNDLE / "tflite-float32.tflite").stat().st_size
    for series in ours.series:
        assert len(series.seconds) == len(series.decode) == len(series.resize) == len(series.inference) == 4
        stages = np.sum([series.decode, series.resize, series.inference], axis=0)
        assert np.all(stages <= np.array(series.seconds) + 1e-6)
        assert np.all(stages > 0.5 * np.array(series.seconds))
    assert plain.after is not None


def test_variants_are_held_against_a_float_one_that_decodes_every_pixel(plain: Run) -> None:
    # The Keras file the bundle was made from is not at hand: the run says what it took in its place.
    assert "tflite-float32" in plain.reference
    floats = [one for one in plain.results if one.contender.variant in ("tflite-float32", "onnx-float32")]
    assert floats
    for one in floats:
        if one.status == "ok":
            assert one.minimum_cosine is not None
            assert one.minimum_cosine > 0.98


def test_contenders_that_need_the_keras_model_are_absent_with_the_reason(plain: Run) -> None:
    for one in plain.results:
        if one.contender.side == "tensorflow":
            assert one.status == "absent"
            assert "tiny.keras" in one.reason or "not installed" in one.reason
            assert one.remedy
            assert one.series == ()


def test_every_engine_that_runs_a_file_is_listed_and_brought_by_a_command_where_it_is_not_here(plain: Run) -> None:
    modules = {
        "litert": "ai_edge_litert",
        "tflite-runtime": "tflite_runtime",
        "onnxruntime": "onnxruntime",
        "openvino": "openvino",
    }
    own = [one for one in plain.results if one.contender.kind == "edgefeat"]
    assert {one.contender.engine for one in own} == set(modules)
    for one in own:
        assert one.contender.engine is not None
        if find_spec(modules[one.contender.engine]) is None:
            assert one.status == "absent"
            assert one.remedy.startswith("pip install ")
        else:
            assert one.status == "ok", one.reason


def test_the_tuned_contender_says_what_it_took(tmp_path: Path) -> None:
    task = Task(Contender("edgefeat tuned", "edgefeat-tuned", "edgefeat"), str(BUNDLE), str(tmp_path), 1)
    taken = edgefeat.load(BUNDLE)
    threads = f"{taken.threads} thread{'s' * (taken.threads != 1)}"
    assert opening_of(KINDS["edgefeat-tuned"])(task).remark == f"{taken.variant} on {taken.engine}, {threads}"


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


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals are those of Linux and macOS")
def test_a_run_that_is_told_to_end_ends_its_frozen_contenders(photos: Path, tmp_path: Path) -> None:
    import psutil

    more: list[str | Path] = ["--rounds", "100000", "--threads", "1", "-o", tmp_path]
    with running("run", BUNDLE, photos, *QUICK, *OURS, *more) as process:
        until = time.monotonic() + 400
        while not (tmp_path / "tiny_last_32-1t.json").exists():
            assert process.poll() is None
            assert time.monotonic() < until, "no round was written"
            time.sleep(0.2)
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode in INTERRUPTED, said
    assert "--resume" in said
    assert not any(worker.is_running() for worker in workers)


def test_an_interrupted_run_keeps_its_rounds_and_is_gone_on_with(photos: Path, tmp_path: Path) -> None:
    quick = [*QUICK, *OURS]
    path = tmp_path / "tiny_last_32-1t.json"
    with running("run", BUNDLE, photos, *quick, "--rounds", "100000", "--threads", "1", "-o", tmp_path) as process:
        until = time.monotonic() + 400
        while not (path.exists() and Run.read(path).rounds >= 2):
            assert time.monotonic() < until, "no round was written"
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode in INTERRUPTED, said
    assert "--resume" in said
    before = Run.read(path)
    assert before.after is None
    assert {len(series.seconds) for one in before.results for series in one.series} == {2 * before.rounds}
    after = measured(tmp_path, photos, *quick, "--rounds", str(before.rounds + 1), "--resume")
    assert after.rounds == before.rounds + 1
    assert after.after is not None
    for old, new in zip(before.results, after.results, strict=True):
        for one, other in zip(old.series, new.series, strict=True):
            assert other.seconds[: len(one.seconds)] == one.seconds
            assert len(other.seconds) == 2 * after.rounds
    refused = bench("run", BUNDLE, photos, *quick, "--threads", "1", "-o", tmp_path, "--resume", "--seed", "7")
    assert refused.returncode == 2
    assert "another seed" in refused.stderr
    refused = bench("run", BUNDLE, photos, *QUICK, *OURS[:2], "--threads", "1", "-o", tmp_path, "--resume")
    assert refused.returncode == 2
    assert "another choice of contenders" in refused.stderr


def test_that_others_took_the_machine_is_not_forgotten_when_a_run_is_gone_on_with(photos: Path, tmp_path: Path) -> None:
    measured(tmp_path, photos, *QUICK, *OURS)
    path = tmp_path / "tiny_last_32-1t.json"
    said = "other programs used 84% of the cores during the run: stop them and repeat the run"
    path.write_text(json.dumps({**json.loads(path.read_text()), "unstable": [said]}))
    assert said in measured(tmp_path, photos, *QUICK, *OURS, "--resume", "--rounds", "3").unstable


def test_a_run_of_another_version_is_not_gone_on_with(photos: Path, tmp_path: Path) -> None:
    measured(tmp_path, photos, *QUICK, *OURS)
    path = tmp_path / "tiny_last_32-1t.json"
    told = json.loads(path.read_text())
    told["results"][0]["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(told))
    refused = bench("run", BUNDLE, photos, *QUICK, *OURS, "--threads", "1", "-o", tmp_path, "--resume", "--rounds", "3")
    assert refused.returncode == 1
    assert "numpy 1.0" in refused.stderr
    path.write_text(json.dumps({**told, "format": 99}))
    refused = bench("run", BUNDLE, photos, *QUICK, *OURS, "--threads", "1", "-o", tmp_path, "--resume")
    assert refused.returncode == 2
    assert "99" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.edgefeat"], "nowhere.edgefeat"),
        ([str(BUNDLE), str(BUNDLE)], "no photo"),
        ([str(BUNDLE), "nowhere"], "nowhere"),
        ([str(BUNDLE), "--sizes", "12"], "WIDTHxHEIGHT"),
        ([str(BUNDLE), "--sizes", "99999x99999"], "64 megapixels"),
        ([str(BUNDLE), "--only", "theano"], "theano"),
        ([str(BUNDLE), "--threads", "4096"], "4096"),
        ([str(BUNDLE), "--labelled", str(BUNDLE)], "label"),
        ([str(BUNDLE), "--add", "own"], "NAME=COMMAND"),
        ([str(BUNDLE), "--add", "own='"], "No closing quotation"),
        ([str(BUNDLE), "--add", "own=a", "--add", "own=b"], "given twice"),
        ([str(BUNDLE), "--add", "keras predict=a"], "a contender already"),
        ([str(BUNDLE), "--model", "nowhere.keras"], "nowhere.keras"),
        ([str(BUNDLE), "--only", "edgefeat", "--without", "edgefeat"], "no contender"),
    ],
)
def test_bad_use_is_one_clear_sentence(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = bench("run", *arguments, "-o", tmp_path / "results")
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert words in last
    assert last.startswith("edgefeat-bench: ")


def test_photos_become_upright_camera_jpegs_of_each_size_and_small_ones_give_way(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    wide.transpose(Image.Transpose.ROTATE_90).save(source / "turned.jpg", exif=exif)
    run = measured(tmp_path / "out", source, *OURS, "--sizes", "400x300,1600x1200", *QUICK[2:], bundle=BUNDLE)
    small, large = run.photos
    assert small.files[0].startswith("turned")
    assert all(name.startswith("generated") for name in (small.files[1], *large.files))
    for photos, size in ((small, (400, 300)), (large, (1600, 1200))):
        for name in photos.files:
            with Image.open(tmp_path / "out" / "prepared" / "photos" / f"{size[0]}x{size[1]}" / name) as image:
                assert image.size == size
                assert image.format == "JPEG"
                assert image.getexif().get(0x0112, 1) == 1
                assert image.layer[1][1:3] == (1, 1)  # type: ignore[attr-defined]  # 4:2:0: colours at half the size
                assert image.layer[0][1:3] == (2, 2)  # type: ignore[attr-defined]
