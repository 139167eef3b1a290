"""`edgefeat-bench run` as a user runs it: real contenders, real processes, the result read back."""

from __future__ import annotations

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("psutil", reason="needs the bench extra")

from tests.benchmarks.run.runs import BUNDLE, OURS, QUICK, bench, measured, result, running

import edgefeat
from edgefeat import EdgefeatError
from edgefeat_bench._contenders.interface import Task
from edgefeat_bench._contenders.registry import KINDS, opening_of
from edgefeat_bench._measure.quality import _readable, labelled_photos
from edgefeat_bench._records import Contender, Run
from edgefeat_bench._setup.bundle_export import exported_bundle
from edgefeat_bench._setup.photos import photos_of_sizes


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
        # Between two stages a busy machine may give the processor to others, but not in each of the rounds.
        assert np.max(stages / np.array(series.seconds)) > 0.5
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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.edgefeat"], "nowhere.edgefeat"),
        ([str(BUNDLE), str(BUNDLE)], "no photo"),
        ([str(BUNDLE), "nowhere"], "nowhere"),
        ([str(BUNDLE), "--sizes", "12"], "WIDTHxHEIGHT"),
        ([str(BUNDLE), "--sizes", "99999x99999"], "108 megapixels"),
        ([str(BUNDLE), "--only", "theano"], "theano"),
        (
            [str(BUNDLE), "--costs", "threads,speed"],
            "--costs 'speed' (allowed: all, none, or some of input side, alpha",
        ),
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
    *_, sentence, see = done.stderr.splitlines()
    assert words in sentence
    assert sentence.startswith("edgefeat-bench: ")
    assert see.startswith("  see docs/")


def test_an_output_that_cannot_be_written_is_one_sentence(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    results = tmp_path / "file" / "results"
    done = bench("run", BUNDLE, photos, *QUICK, *OURS, "-o", results)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"edgefeat-bench: {results} cannot be used: Not a directory"


def test_photos_that_cannot_be_read_cost_no_label(photos: Path, tmp_path: Path) -> None:
    whole = next(path for path in sorted(photos.iterdir()) if path.is_file())
    for label, count in (("all", 3), ("some", 3), ("one", 2)):
        (tmp_path / label).mkdir()
        for number in range(count):
            shutil.copy(whole, tmp_path / label / f"{number}{whole.suffix}")
    for spoilt in ("some", "one"):
        (tmp_path / spoilt / f"0{whole.suffix}").write_bytes(b"\xff\xd8\xff no photo")
    said: list[str] = []
    files, labels = labelled_photos(str(tmp_path))
    kept = _readable(files, labels, said.append)
    assert labels[kept].tolist() == ["all"] * 3 + ["some"] * 2
    assert len(said) == 2


def test_of_many_labelled_photos_each_label_keeps_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefeat_bench._measure.quality._MOST", 10)
    for label, count in (("many", 60), ("few", 2), ("three", 3)):
        (tmp_path / label).mkdir()
        for number in range(count):
            (tmp_path / label / f"{number:02}.jpg").touch()
    _, labels = labelled_photos(str(tmp_path))
    assert {label: labels.tolist().count(label) for label in ("many", "few", "three")} == {
        "many": 9,
        "few": 2,
        "three": 2,
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nowhere"], "folder 'nowhere' does not exist"),
        (["--threads", "4096"], "--threads 4096"),
        (["--calibration", "nowhere"], "--calibration 'nowhere' is not a folder"),
    ],
)
def test_what_is_wrong_is_said_before_a_network_is_exported(options: list[str], words: str, tmp_path: Path) -> None:
    with running("run", "mobilenet_v2", *options, "-o", tmp_path / "results") as process:
        assert process.stderr is not None
        assert words in process.stderr.readline()
        assert process.wait(timeout=60) == 2
    assert not (tmp_path / "results").exists()


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs the export extra")
def test_a_misspelt_network_is_told_once_and_not_exported_with_random_weights(tmp_path: Path) -> None:
    done = bench("run", "mobilenet_v22", "-o", tmp_path / "results")
    assert done.returncode == 2
    assert done.stderr.count("backbone 'mobilenet_v22' is unknown (similar: mobilenet_v2, ") == 1
    assert "random" not in done.stderr


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


def test_a_photo_of_more_pixels_than_pillow_opens_gives_way(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("1", (20_000, 10_000)).save(tmp_path / "photos" / "huge.png")
    (found,) = photos_of_sizes(str(tmp_path / "photos"), ["64x48"], 1, tmp_path / "made")
    assert [Path(file).name for file in found.files] == ["generated-1.jpg"]


def test_a_backbone_with_given_weights_has_a_bundle_for_each_content_of_the_file(tmp_path: Path) -> None:
    weights = tmp_path / "w.keras"
    told: list[str] = []
    weights.write_bytes(b"first")
    digest = hashlib.sha256(b"first").hexdigest()[:12]
    made = tmp_path / f"mobilenet-{digest}.edgefeat"
    made.mkdir()
    assert exported_bundle("mobilenet", tmp_path, told.append, weights=str(weights)) == made
    assert not told  # it was there
    weights.write_bytes(b"second")
    with pytest.raises(EdgefeatError):  # no weights at all: the export says so
        exported_bundle("mobilenet", tmp_path, told.append, weights=str(weights))
    assert told == [f"exporting mobilenet with the weights of {weights}"]
