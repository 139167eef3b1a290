"""int8 and its gate: corrections, the ladder of float layers, and refusals with their figure."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the export extra")

import edgefeat
import edgefeat_export
from edgefeat_export._pipeline.ladder import float_groups
from edgefeat_export._quantize.correction.pieces import ALL_PIECES
from edgefeat_export._quantize.records import Sensitivity


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Path:
    """A network of a few layers, saved by Keras."""
    return tiny_model


def exported(model: Path, photos: Path | str, output: Path, **options: Any) -> edgefeat.Manifest:
    variants = options.pop("variants", ["tflite-float32", "onnx-float32", "tflite-int8", "onnx-int8"])
    options |= {"preprocess": "tf", "layers": ["last"], "variants": variants, "calibration": photos}
    extractor = edgefeat_export.export(model, output, **options)
    return extractor.bundle.manifest


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "edgefeat", *arguments], capture_output=True, text=True, check=False)


def mean_cosine(manifest: edgefeat.Manifest, name: str) -> float:
    (variant,) = [variant for variant in manifest.variants if variant.name == name]
    return variant.fidelity["last"].mean_cosine


@pytest.fixture(scope="module")
def bundle(model: Path, small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the network with default options."""
    path = tmp_path_factory.mktemp("bundle") / "a.edgefeat"
    exported(model, small_photos, path)
    return path


def test_the_manifest_says_what_was_corrected_and_to_what_it_was_held(bundle: Path) -> None:
    manifest = edgefeat.Bundle.open(bundle).manifest
    assert manifest.gate.mean_cosine == 0.98
    assert manifest.refusals == ()
    for variant in manifest.variants:
        if variant.precision == "int8":
            assert set(variant.correction) <= set(ALL_PIECES)
            assert variant.correction
            assert bool(variant.float_operations) == ("mixed" in variant.correction)
        else:
            assert variant.correction == ()


def test_a_gate_that_int8_misses_keeps_layers_in_float_and_lists_them(
    model: Path, small_photos: Path, tmp_path: Path
) -> None:
    plain = exported(model, small_photos, tmp_path / "plain.edgefeat", correction=[], effort="quick")
    reached = min(mean_cosine(plain, name) for name in ("tflite-int8", "onnx-int8"))
    # Nearer to exact than all-int8 comes: out of its reach, and within that of fewer layers.
    gate = 1 - (1 - reached) * 0.8
    held = exported(model, small_photos, tmp_path / "held.edgefeat", correction=[], min_fidelity=gate)
    for name in ("tflite-int8", "onnx-int8"):
        found = [variant for variant in held.variants if variant.name == name]
        if found:
            assert found[0].float_operations
            assert mean_cosine(held, name) >= gate
        else:
            assert name in {refusal.name for refusal in held.refusals}
    assert any(variant.precision == "int8" for variant in held.variants)
    # What takes layers in float is not found by one correction.
    quick = exported(
        model,
        small_photos,
        tmp_path / "quick.edgefeat",
        variants=["tflite-float32", "tflite-int8"],
        correction=[],
        min_fidelity=gate,
        effort="quick",
    )
    (refusal,) = quick.refusals
    assert refusal.name == "tflite-int8"
    assert "--effort normal" in refusal.reason
    assert "in float" not in refusal.reason


def test_an_effort_that_is_unknown_is_wrong_use(model: Path, small_photos: Path, tmp_path: Path) -> None:
    done = command("export", str(model), "--effort", "fast", "-o", str(tmp_path / "x.edgefeat"))
    assert done.returncode == 2
    for word in ("fast", "quick", "normal", "thorough"):
        assert word in done.stderr
    with pytest.raises(edgefeat.ArgumentError, match=r"effort 'fast' is unknown .allowed: quick, normal, thorough"):
        exported(model, small_photos, tmp_path / "x.edgefeat", effort="fast")


@pytest.mark.parametrize(
    ("effort", "loss", "tried"),
    [
        ("normal", 0.05, [2, 4]),  # half of the loss is left by two groups, which is what the gate allows
        ("normal", 0.03, [1, 2]),
        ("normal", 0.5, [6]),  # none should do: the most there is
        ("thorough", 0.05, [1, 2, 4, 6]),
    ],
)
def test_the_ladder_starts_with_the_groups_expected_to_pass(effort: Any, loss: float, tried: list[int]) -> None:
    groups = tuple((f"layer {number}",) for number in range(12))
    losses = (0.10, 0.06, 0.04, 0.03, 0.02, 0.02, 0.01)
    found = float_groups(Sensitivity(groups, losses), effort, loss, 0.98)
    assert [len(kept) for kept in found] == tried


Refused = tuple[Path, "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def refused(model: Path, small_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Refused:
    """A bundle whose int8 misses its gate, exported in a folder with a file that has the name of a module."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "random.py").write_text("raise SystemExit('the file in the folder was run')")
    arguments = [
        "export",
        str(model),
        "--preprocess",
        "tf",
        "--layer",
        "last",
        "--min-fidelity",
        "1.0",
        "--effort",
        "quick",
    ]
    arguments += ["--variants", "tflite-float32,tflite-float16,tflite-int8", "--calibration", str(small_photos)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "edgefeat", *arguments, "-o", "refused.edgefeat"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    return folder / "refused.edgefeat", done


def test_a_file_in_the_current_folder_is_never_imported(refused: Refused) -> None:
    bundle, done = refused
    assert "the file in the folder was run" not in done.stdout + done.stderr
    assert (bundle / "tflite-float32.tflite").exists()


def test_what_cannot_pass_is_refused_with_figure_and_substitute(refused: Refused, tmp_path: Path) -> None:
    output, done = refused
    assert done.returncode == 1, done.stderr
    assert "requested with --variants but not written: tflite-int8" in done.stderr
    manifest = edgefeat.Bundle.open(output).manifest
    assert {variant.name for variant in manifest.variants} == {"tflite-float32", "tflite-float16"}
    (refusal,) = manifest.refusals
    assert refusal.name == "tflite-int8"
    assert refusal.substitute == "tflite-float16"
    assert "allowed: 1 or more" in refusal.reason
    assert refusal.reason in done.stderr
    assert not (output / "tflite-int8.tflite").exists()
    asked = command("extract", str(output), str(output), "--variant", "tflite-int8", "-o", str(tmp_path / "f.npz"))
    assert asked.returncode == 2
    assert refusal.reason in asked.stderr


def test_a_default_variant_that_misses_its_gate_is_left_out_and_the_others_are_written(
    small_photos: Path, tmp_path: Path
) -> None:
    import keras

    def layer(size: float, **options: Any) -> keras.layers.Layer:
        weights = keras.initializers.RandomNormal(stddev=size, seed=1)
        return keras.layers.Conv2D(4, 3, kernel_initializer=weights, **options)

    # Weights that float16 has no numbers for: too small, then too large.
    picture = keras.Input((32, 32, 3))
    path, output = tmp_path / "wide.keras", tmp_path / "wide.edgefeat"
    keras.Model(picture, layer(1e9)(layer(1e-9, activation="relu")(picture))).save(path)
    options = [
        "--preprocess",
        "raw",
        "--correction",
        "none",
        "--calibration",
        str(small_photos),
        "--json",
        "-o",
        str(output),
    ]
    done = command("export", str(path), *options)
    assert done.returncode == 0, done.stderr
    manifest = json.loads(done.stdout)["manifest"]
    assert {one["name"] for one in manifest["variants"]} == {*edgefeat.VARIANTS} - {"tflite-float16"}
    (refusal,) = manifest["refusals"]
    assert refusal["name"] == "tflite-float16"
    assert refusal["substitute"] == "tflite-float32"
    assert "its mean cosine to Keras" in refusal["reason"]
    assert refusal["reason"] in done.stderr
    assert refusal["reason"] in (output / "README.md").read_text()


def test_nothing_is_written_where_all_that_was_wanted_is_refused(
    model: Path, small_photos: Path, tmp_path: Path
) -> None:
    output, few = tmp_path / "none.edgefeat", tmp_path / "few"
    few.mkdir()
    for photo in sorted(small_photos.iterdir())[:12]:
        shutil.copy(photo, few)
    options = [
        "--preprocess",
        "tf",
        "--layer",
        "last",
        "--variants",
        "tflite-int8",
        "--min-fidelity",
        "1.0",
        "--effort",
        "quick",
        "--calibration",
        str(few),
    ]
    done = command("export", str(model), *options, "-o", str(output))
    assert done.returncode == 1
    assert "only 10 photos calibrate int8: 60 generated images were added" in done.stderr
    assert done.stderr.count("tflite-int8 was not written") == 1
    assert not output.exists()


@pytest.mark.parametrize("figure", ["2", "x", "overlap=", "cosine=-1", "recall=0.9"])
def test_a_gate_that_makes_no_sense_is_wrong_use(model: Path, tmp_path: Path, figure: str) -> None:
    done = command("export", str(model), "--min-fidelity", figure, "-o", str(tmp_path / "x.edgefeat"))
    assert done.returncode == 2
    assert figure in done.stderr


def test_the_length_of_an_int8_feature_is_one(bundle: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    for name in ("tflite-int8", "onnx-int8"):
        features = edgefeat.load(bundle, variant=name).extract(pictures)
        assert isinstance(features, np.ndarray)
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-3)


def test_a_network_without_layers_to_quantize_keeps_its_float_files(small_photos: Path, tmp_path: Path) -> None:
    import keras

    picture = keras.Input((32, 32, 3))
    path = tmp_path / "pool.keras"
    keras.Model(picture, keras.layers.MaxPooling2D(4)(picture)).save(path)
    extractor = edgefeat_export.export(
        path,
        tmp_path / "p.edgefeat",
        preprocess="raw",
        variants=["tflite-float32", "tflite-int8"],
        calibration=small_photos,
    )
    (refusal,) = extractor.bundle.manifest.refusals
    assert "nothing to quantize" in refusal.reason


def test_features_that_are_all_zero_are_refused(small_photos: Path, tmp_path: Path) -> None:
    import keras

    picture = keras.Input((32, 32, 3))
    path = tmp_path / "zero.keras"
    keras.Model(picture, keras.layers.Conv2D(4, 3, kernel_initializer="zeros")(picture)).save(path)
    with pytest.raises(edgefeat.ExportError, match="all zero"):
        edgefeat_export.export(
            path, tmp_path / "z.edgefeat", preprocess="raw", variants=["tflite-float32"], calibration=small_photos
        )
