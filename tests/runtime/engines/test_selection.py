"""Which variant runs on which engine: as asked for, else the first of the documented order that opens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefeat
from edgefeat._engines.engine import Engine
from edgefeat._engines.registry import ENGINES
from edgefeat._version import install_command

Altered = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]


def only(*names: str) -> Callable[[dict[str, Any], Path], None]:
    """Takes every other variant out of a bundle."""

    def change(manifest: dict[str, Any], folder: Path) -> None:
        for variant in manifest["variants"]:
            if variant["name"] not in names:
                (folder / variant["file"]["name"]).unlink()
        manifest["variants"] = [variant for variant in manifest["variants"] if variant["name"] in names]

    return change


def runnable(installed: list[Engine]) -> list[str]:
    """The variants that an installed engine runs, in the documented order."""
    return [name for name in edgefeat.VARIANTS if name.partition("-")[0] in {engine.format for engine in installed}]


def test_the_documented_order_is_exact_ones_first() -> None:
    assert edgefeat.VARIANTS == (
        "tflite-float32",
        "onnx-float32",
        "tflite-float16",
        "tflite-int8",
        "onnx-int8",
        "tflite-dynamic",
    )
    assert [engine.name for engine in ENGINES] == ["litert", "onnxruntime", "openvino", "tflite-runtime"]


def test_the_first_variant_of_the_order_that_an_engine_runs_is_chosen(one_tap: Path, installed: list[Engine]) -> None:
    extractor = edgefeat.load(one_tap)
    assert extractor.variant == runnable(installed)[0]
    first = next(engine for engine in installed if engine.format == extractor.variant.partition("-")[0])
    assert extractor.engine == first.name
    assert "default order" in extractor.reason
    assert extractor.decoding == "fast"
    assert 1 <= extractor.threads <= 4
    assert repr(extractor) == f"<edgefeat.Extractor tiny_last_32 {extractor.variant} on {extractor.engine}>"


def test_what_the_bundle_lacks_is_passed_by(one_tap: Path, altered: Altered, installed: list[Engine]) -> None:
    small = ("tflite-dynamic", "onnx-int8", "tflite-int8")
    extractor = edgefeat.load(altered(one_tap, only(*small)))
    assert extractor.variant == next(name for name in runnable(installed) if name in small)


def test_an_engine_asked_for_runs_its_first_variant(one_tap: Path, engine: Engine) -> None:
    extractor = edgefeat.load(one_tap, engine=engine.name)
    assert (extractor.engine, extractor.variant) == (engine.name, f"{engine.format}-float32")
    assert extractor.reason.startswith("requested engine")


@pytest.mark.parametrize("variant", edgefeat.VARIANTS)
def test_a_variant_asked_for_runs_on_an_engine_for_it(one_tap: Path, variant: str, engine: Engine) -> None:
    if not variant.startswith(engine.format):
        with pytest.raises(edgefeat.ArgumentError, match=f"{engine.name}.* runs .{engine.format} files, .*{variant}"):
            edgefeat.load(one_tap, variant=variant, engine=engine.name)
        return
    assert edgefeat.load(one_tap, variant=variant, engine=engine.name).reason == "as requested"
    extractor = edgefeat.load(one_tap, variant=variant)
    assert extractor.variant == variant
    assert extractor.reason.startswith("requested variant")


def test_an_opened_bundle_can_be_loaded_with_all_that_can_be_asked_for(one_tap: Path, engine: Engine) -> None:
    bundle = edgefeat.Bundle.open(one_tap)
    extractor = edgefeat.load(bundle, engine=engine.name, threads=1, decoding="exact")
    assert extractor.bundle is bundle
    assert (extractor.threads, extractor.decoding) == (1, "exact")


def test_what_is_unknown_is_refused_with_what_is_allowed(one_tap: Path) -> None:
    with pytest.raises(edgefeat.ArgumentError, match=r"'tflite-int4' is not in bundle .*tflite-float32, onnx-float32"):
        edgefeat.load(one_tap, variant="tflite-int4")
    with pytest.raises(edgefeat.ArgumentError, match=r"'tpu' is unknown .*litert, onnxruntime, openvino, tflite"):
        edgefeat.load(one_tap, engine="tpu")
    with pytest.raises(edgefeat.ArgumentError, match=r"threads is 0 \(allowed: 1 to \d+\)"):
        edgefeat.load(one_tap, threads=0)
    with pytest.raises(edgefeat.ArgumentError, match=r"'quick' is unknown .*'fast', 'exact'"):
        edgefeat.load(one_tap, decoding="quick")  # type: ignore[arg-type]
    with pytest.raises(edgefeat.BundleError, match="'nowhere' does not exist"):
        edgefeat.load("nowhere")


def test_a_refused_variant_says_why_it_was_refused(one_tap: Path, altered: Altered) -> None:
    def refuse(manifest: dict[str, Any], folder: Path) -> None:
        only("tflite-float32", "onnx-float32")(manifest, folder)
        reason = "tflite-int8 was 4 times slower: use tflite-float32"
        manifest["refusals"] = [{"name": "tflite-int8", "reason": reason, "substitute": "tflite-float32"}]

    with pytest.raises(edgefeat.ArgumentError, match="4 times slower: use tflite-float32"):
        edgefeat.load(altered(one_tap, refuse), variant="tflite-int8")


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine.version() is None], ids=lambda one: one.name)
def test_an_engine_not_installed_is_named_with_the_command_that_installs_it(one_tap: Path, engine: Engine) -> None:
    with pytest.raises(edgefeat.MissingExtraError) as raised:
        edgefeat.load(one_tap, engine=engine.name)
    assert install_command(engine.extra) in str(raised.value)
    assert isinstance(raised.value, ImportError)


def test_a_bundle_that_no_installed_engine_runs_says_which_would(
    one_tap: Path, altered: Altered, installed: list[Engine]
) -> None:
    formats = {"tflite": "litert", "onnx": "onnx"}
    for engine in installed:
        formats.pop(engine.format, None)
    if not formats:
        pytest.skip("engines for both formats are installed")
    ((form, extra),) = formats.items()
    with pytest.raises(edgefeat.MissingExtraError, match=rf"cannot run {form}-float32; .*\[{extra}\]'$"):
        edgefeat.load(altered(one_tap, only(f"{form}-float32")))


def test_a_file_its_engine_refuses_is_passed_over_and_said(one_tap: Path, altered: Altered, engine: Engine) -> None:
    def spoil(manifest: dict[str, Any], folder: Path) -> None:
        (folder / f"{engine.format}-float32.{engine.format}").write_bytes(b"no model" * 100)

    bundle = altered(one_tap, spoil)
    extractor = edgefeat.load(bundle, engine=engine.name)
    assert extractor.variant in edgefeat.VARIANTS[2:]
    assert f"skipped: engine {engine.name} cannot load the model" in extractor.reason
    with pytest.raises(edgefeat.EngineError, match=f"engine {engine.name} cannot load the model"):
        edgefeat.load(bundle, engine=engine.name, variant=f"{engine.format}-float32")


def test_the_model_of_another_bundle_is_refused(
    one_tap: Path, two_taps: Path, altered: Altered, engine: Engine
) -> None:
    name = f"{engine.format}-float32"

    def exchange(manifest: dict[str, Any], folder: Path) -> None:
        (folder / f"{name}.{engine.format}").write_bytes((two_taps / f"{name}.{engine.format}").read_bytes())

    with pytest.raises(edgefeat.EngineError, match=r"outputs are \['inner.point', 'stem'\] \(expected: \['last'\]\)"):
        edgefeat.load(altered(one_tap, exchange), engine=engine.name, variant=name)


def test_a_manifest_that_does_not_fit_its_model_is_an_engine_error(
    one_tap: Path, altered: Altered, engine: Engine
) -> None:
    def larger_picture(manifest: dict[str, Any], folder: Path) -> None:
        manifest["picture"].update(height=48, width=48)

    def longer_feature(manifest: dict[str, Any], folder: Path) -> None:
        manifest["taps"][0]["shape"] = [17]

    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(edgefeat.EngineError, match="the engine failed"):
        edgefeat.load(altered(one_tap, larger_picture), engine=engine.name).extract(picture)
    with pytest.raises(
        edgefeat.EngineError, match=r"float32 \(16,\) for tap last \(the manifest says: float32 \(17,\)"
    ):
        edgefeat.load(altered(one_tap, longer_feature), engine=engine.name).extract(picture)


def test_tflite_runtime_under_numpy_2_says_what_to_do(one_tap: Path) -> None:
    engine = next(engine for engine in ENGINES if engine.name == "tflite-runtime")
    if engine.version() is None:
        pytest.skip("engine tflite-runtime is not installed")
    load = f"edgefeat.load({str(one_tap)!r}, engine={engine.name!r})"
    program = f"import numpy; numpy.__version__ = '2.0.1'; import edgefeat; {load}"
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert "EngineError: tflite-runtime does not support NumPy 2.0.1 (required: below 2): pip install 'numpy<2'\n" in (
        done.stderr
    )


def test_a_cache_that_cannot_be_looked_into_is_none(
    one_tap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFEAT_CACHE", str(tmp_path / ("x" * 300)))  # as if permission were denied, also for root
    assert edgefeat.load(one_tap).reason == "first in the default order that an installed engine runs"


def test_without_a_home_no_folder_is_made(
    edgefeat_command: Run, one_tap: Path, photos: list[str], tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "EDGEFEAT_CACHE"}
    environment |= {"HOME": "~", "XDG_CACHE_HOME": "~/.cache"}  # what systemd's Environment= leaves as it is
    done = edgefeat_command("extract", one_tap, photos[0], "-o", "features.npz", env=environment)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["features.npz"]
