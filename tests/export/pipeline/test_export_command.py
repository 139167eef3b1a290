"""`edgefeat export` end to end on a small saved model: the files it writes, its errors, and that it cleans up."""

# ruff: noqa: E402  the imports come after the question whether they are there

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

for name in ("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer"):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"the export extra is not installed: {name} is missing", allow_module_level=True)

import edgefeat
import edgefeat_export
from edgefeat._bundle.gate import DEFAULT_GATE
from edgefeat._version import device_install_command
from edgefeat_export._measure.gate import unfaithful
from edgefeat_export._measure.variants import measure_variant
from edgefeat_export._network.named_trunk import build_trunk
from edgefeat_export._spec import NetworkSpec
from edgefeat_export._workspace import BuiltNetwork, Workspace

Done: TypeAlias = "subprocess.CompletedProcess[str]"

Run = Callable[..., Done]

# The photos are not looked at.
WITHOUT_TOKENS = ["--layer", "stem", "--pooling", "cls", "--calibration", "unreadable"]

OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Path:
    return tiny_model


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run `edgefeat export` with a separate folder for temporary files, and check that none are left there."""
    scratch = tmp_path_factory.mktemp("scratch")

    def export(*arguments: str | os.PathLike[str], **options: Any) -> Done:
        environment = {**os.environ, "TMPDIR": str(scratch), **options.pop("env", {})}
        command = [sys.executable, "-m", "edgefeat", "export", *[os.fspath(argument) for argument in arguments]]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, **options)
        assert list(scratch.iterdir()) == []
        assert "Traceback" not in done.stderr
        return done

    return export


@pytest.fixture(scope="module")
def exported(run: Run, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A bundle with all six variants, made on generated images, and the output of the command."""
    bundle = tmp_path_factory.mktemp("exported") / "tiny.edgefeat"
    done = run(model, "--preprocess", "tf", "--layer", "last", "-o", bundle, "--json")
    assert done.returncode == 0, done.stderr
    return bundle, done


def pictures() -> NDArray[np.uint8]:
    """Sixteen pictures, as the model takes them, that no export has seen."""
    coarse = np.random.default_rng(11).integers(0, 256, (16, 5, 5, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(picture).resize((32, 32))) for picture in coarse])


def extracted(bundle: Path, variant: str) -> NDArray[np.float32]:
    features = edgefeat.load(bundle, variant=variant).extract(pictures())
    assert isinstance(features, np.ndarray)
    return features


def test_all_six_variants_give_the_features_of_keras(exported: tuple[Path, Done], model: Path) -> None:
    import keras

    whole = keras.models.load_model(model)
    trunk = keras.Model(whole.inputs, whole.get_layer("last").output)
    pooled = np.asarray(trunk(pictures().astype(np.float32) / 127.5 - 1)).mean(axis=(1, 2))
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    bundle, _ = exported
    for variant in edgefeat.VARIANTS:
        features = extracted(bundle, variant)
        cosines = np.einsum("nd,nd->n", features, expected) / np.linalg.norm(features, axis=1)
        least = {"float32": 0.999999, "float16": 0.99999, "int8": 0.999, "dynamic": 0.999}[variant.partition("-")[2]]
        assert cosines.min() >= least, variant
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(extracted(bundle, "tflite-float32"), expected, atol=1e-5)


def test_the_bundle_holds_what_it_says_and_verifies(exported: tuple[Path, Done]) -> None:
    bundle, done = exported
    said = json.loads(done.stdout)
    assert said["bundle"] == str(bundle)
    assert said["manifest"] == json.loads((bundle / "manifest.json").read_text())
    files = {"manifest.json", "golden.npz", "README.md"} | {f"{v}.{v.partition('-')[0]}" for v in edgefeat.VARIANTS}
    assert {path.name for path in bundle.iterdir()} == files
    assert all(check.status == "ok" for check in edgefeat.verify(bundle))
    manifest = edgefeat.Bundle.open(bundle).manifest
    for variant in manifest.variants:
        (fidelity,) = variant.fidelity.values()
        assert fidelity.pictures >= 16
        assert -1 <= fidelity.minimum_cosine <= fidelity.mean_cosine <= 1
    assert manifest.calibration.source == "synthetic"
    assert "no photos were given: calibrating and measuring on generated images" in done.stderr
    assert device_install_command("litert") in (bundle / "README.md").read_text()


def test_a_bundle_is_replaced_if_told_to(
    exported: tuple[Path, Done], model: Path, small_photos: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.edgefeat"
    shutil.copytree(exported[0], again)
    extractor = edgefeat_export.export(
        model,
        again,
        preprocess="tf",
        layers=["last"],
        variants=["tflite-float32"],
        calibration=small_photos,
        overwrite=True,
    )
    assert extractor.variant == "tflite-float32"
    names = ["README.md", "golden.npz", "manifest.json", "tflite-float32.tflite"]
    assert sorted(path.name for path in again.iterdir()) == names
    assert [path.name for path in tmp_path.iterdir()] == ["again.edgefeat"]


def test_the_same_seed_gives_the_same_files(exported: tuple[Path, Done], model: Path, tmp_path: Path) -> None:
    told: list[str] = []
    again = edgefeat_export.export(
        model, tmp_path / "again.edgefeat", preprocess="tf", layers=["last"], tell=told.append
    )
    digests = [
        {variant.name: variant.file.sha256 for variant in bundle.manifest.variants}
        for bundle in (edgefeat.Bundle.open(exported[0]), again.bundle)
    ]
    assert set(digests[0]) == set(edgefeat.VARIANTS)
    assert digests[0] == digests[1]
    assert any("no photos were given" in note for note in told)


def test_photos_calibrate_and_unreadable_ones_are_reported(run: Run, model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for index, picture in enumerate(pictures()):
        Image.fromarray(picture).resize((50, 40)).save(photos / f"{index}.png")
    (photos / "text.jpg").write_text("these are words")
    (photos / "cut.png").write_bytes((photos / "0.png").read_bytes()[:-200])
    (photos / "unplugged.jpg").symlink_to(tmp_path / "nowhere.jpg")
    done = run(model, "--preprocess", "raw", "--variants", "tflite-float32", "--calibration", photos, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "text.jpg: not an image in a supported format" in done.stderr
    assert "unplugged.jpg: no such file, or not a regular file" in done.stderr
    assert re.search(
        r"cut\.png: cannot be decoded: the file is truncated, \d+ % .*\(allowed: all\)$", done.stderr, re.M
    )
    assert "no photos were given" not in done.stderr
    assert "int8" not in done.stderr  # none was asked for
    lines = done.stdout.splitlines()
    assert lines[0] == "tiny_32.edgefeat: classes (10,)"
    assert [line.split()[0] for line in lines[1:]][:2] == ["variant", "tflite-float32"]
    assert edgefeat.Bundle.open(tmp_path / "tiny_32.edgefeat").manifest.calibration.source == "photos"


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["MODEL", "--layer", "lst"], 2, "layer 'lst' is not in tiny (similar: last, stem; the last are: "),
        (["MODEL", "--input-size", "64x"], 2, "input size '64x' (allowed: N or HEIGHTxWIDTH, each 1 to 2048)"),
        (["MODEL", "--variants", "tflite-int4"], 2, "variant 'tflite-int4' is unknown (allowed: tflite-float32, "),
        (["MODEL", "--variants", ""], 2, "no variant was requested"),
        (["MODEL", "--integer-input", "int8"], 2, "integer input 'int8' requires variant tflite-integer: name it"),
        (["mobilenet_v2", "--pooling", "cls"], 2, "not for mobilenet_v2 (allowed: avg, max,"),
        (["MODEL", "--preprocess", "raw", *WITHOUT_TOKENS], 2, "pooling cls does not apply to layer 'stem'"),
        (["MODEL", "--whiten"], 2, "whitening requires a projection"),
        (["MODEL", "--seed", "-1"], 2, "seed -1 (allowed: 0 to 4294967295)"),
        (["nowhere.keras"], 2, "model 'nowhere.keras' does not exist"),
        (["MODEL", "--calibration", "nowhere"], 2, "calibration 'nowhere' is not a folder (allowed: a folder of"),
        (["MODEL", "--preprocess", "raw", "--calibration", "unreadable"], 1, "no readable photo in unreadable"),
        (["MODEL", "-o", "taken.edgefeat"], 2, "taken.edgefeat already exists: choose another name with -o, or"),
        (["MODEL", "-o", "unreadable", "--overwrite"], 2, "unreadable is not a bundle: --overwrite replaces only"),
        (["MODEL", "-o", "file/out.edgefeat"], 2, "is not a writable folder"),
    ],
)
def test_invalid_arguments_are_refused_in_one_sentence_and_nothing_is_written(
    run: Run, model: Path, tmp_path: Path, arguments: list[str], status: int, reason: str
) -> None:
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "text.jpg").write_text("these are words")
    (tmp_path / "taken.edgefeat").mkdir()
    (tmp_path / "taken.edgefeat" / "manifest.json").write_text("{}")
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    given = [str(model) if argument == "MODEL" else argument for argument in arguments]
    done = run(*given, *([] if "-o" in given else ["-o", "out.edgefeat"]), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert reason in done.stderr
    assert done.stderr.startswith("edgefeat: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        ({"backbone": "mobilnet_v2"}, r"backbone 'mobilnet_v2' is unknown \(similar: mobilenet_v2, mobilenet"),
        ({"size": (64, 64)}, "takes 32x32 images, not 64x64"),
    ],
)
def test_a_network_that_does_not_exist_is_refused(model: Path, named: dict[str, Any], reason: str) -> None:
    with pytest.raises(edgefeat.ArgumentError, match=reason):
        build_trunk(NetworkSpec(**{"backbone": str(model), **named}))


def test_missing_weights_name_the_three_remedies(run: Run, tmp_path: Path) -> None:
    environment = {**OFFLINE, "KERAS_HOME": str(tmp_path / "keras")}
    done = run("MobileNetV2", "--alpha", "0.35", "--input-size", "96", "-o", "out", cwd=tmp_path, env=environment)
    assert done.returncode == 1
    assert f"were not found in {tmp_path / 'keras' / 'models'} and cannot be downloaded" in done.stderr
    assert "Run once with a network connection" in done.stderr
    assert "set KERAS_HOME to a folder that contains models/mobilenet_v2_weights_" in done.stderr
    assert "--weights random" in done.stderr
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_written_whole_leave_no_bundle(
    run: Run, model: Path, small_photos: Path, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource", reason="only POSIX can limit the size of files")
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))}
    arguments = [model, "--preprocess", "raw", "--calibration", small_photos, "-o", tmp_path / "out.edgefeat"]
    done = run(*arguments, env={"PYTHONDONTWRITEBYTECODE": "1"}, **limit)
    assert done.returncode == 1
    assert done.stderr.startswith("edgefeat: step network failed: ")
    assert list(tmp_path.iterdir()) == []


def finished(bundle: Path, order: slice) -> BuiltNetwork:
    """Return the network that the bundle's golden vectors could come from, with its Keras features in another order."""
    with np.load(bundle / "golden.npz") as golden:
        checking, reference = golden["pictures"], golden["keras/last"][order]
    network = SimpleNamespace(
        work=SimpleNamespace(checking=checking, model=Workspace(bundle).model),
        facts=SimpleNamespace(taps=edgefeat.Bundle.open(bundle).manifest.taps, labels=()),
        reference=lambda: {"last": reference},
    )
    return cast(BuiltNetwork, network)


@pytest.mark.parametrize("variant", ["tflite-float32", "onnx-float32", "tflite-float16"])
def test_a_conversion_that_gives_other_features_is_refused_with_the_figure(
    exported: tuple[Path, Done], variant: str
) -> None:
    right, wrong = finished(exported[0], slice(None)), finished(exported[0], slice(None, None, -1))
    assert measure_variant(right, variant).fidelity["last"].minimum_cosine > 0.9999
    assert unfaithful(variant, measure_variant(right, variant).fidelity, DEFAULT_GATE) is None
    why = unfaithful(variant, measure_variant(wrong, variant).fidelity, DEFAULT_GATE)
    assert why is not None
    expected = r"its (minimum|mean) cosine to Keras over \d+ (pictures|images) is -?0\.\d+ for tap last \(allowed: "
    assert re.match(expected, why)
