"""`edgefeat verify` and `edgefeat info`: their tables, their JSON and their exit status."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

import edgefeat
from edgefeat._engines.engine import Engine
from edgefeat._engines.registry import ENGINES
from edgefeat._version import install_command

Run = Callable[..., subprocess.CompletedProcess[str]]
Altered = Callable[..., Path]


def strict_json(text: str) -> Any:
    """What `text` says, which has none of the constants that JSON has not."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def nan_everywhere(manifest: dict[str, Any], folder: Path) -> None:
    with np.load(folder / "golden.npz") as golden:
        arrays = {name: array if name == "pictures" else np.full_like(array, np.nan) for name, array in golden.items()}
    np.savez(folder / "golden.npz", **arrays)


@pytest.fixture(scope="module")
def spoilt(two_taps: Path, altered: Altered) -> Path:
    """A whole bundle whose golden features no engine gives."""
    return altered(two_taps, nan_everywhere)


def test_verify_prints_a_row_for_each_variant_on_each_engine(
    edgefeat_command: Run, one_tap: Path, two_taps: Path, installed: list[Engine]
) -> None:
    for bundle in (one_tap, two_taps):
        done = edgefeat_command("verify", bundle)
        assert done.returncode == 0, done.stderr
        header, *rows = done.stdout.splitlines()
        assert header.split("  ")[0] == "variant"
        assert [tuple(row.split()[:2]) for row in rows] == [
            (variant, engine.name)
            for variant in edgefeat.VARIANTS
            for engine in installed
            if variant.startswith(engine.format)
        ]
        assert all(row.endswith("  ok") for row in rows)
        assert "Traceback" not in done.stderr


def test_verify_takes_one_engine_and_one_variant(edgefeat_command: Run, one_tap: Path, engine: Engine) -> None:
    variant = f"{engine.format}-int8"
    done = edgefeat_command("verify", one_tap, "--engine", engine.name, "--variant", variant)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    done = edgefeat_command("verify", one_tap, "--engine", "tpu")
    assert (done.returncode, done.stdout) == (2, "")


def test_verify_in_json_has_a_record_for_each_check(edgefeat_command: Run, one_tap: Path) -> None:
    done = edgefeat_command("verify", one_tap, "--json")
    assert done.returncode == 0
    result = strict_json(done.stdout)
    assert result["ok"] is True
    fields = {"variant", "engine", "engine_version", "status", "detail", "difference", "cosine", "keras_cosine"}
    assert all(set(check) == fields and check["status"] == "ok" for check in result["checks"])


def test_verify_fails_where_features_are_off(edgefeat_command: Run, spoilt: Path) -> None:
    done = edgefeat_command("verify", spoilt)
    assert done.returncode == 1
    assert all("  off: stem " in row for row in done.stdout.splitlines()[1:])
    assert done.stderr.endswith("edgefeat: features on this machine differ from the bundle's\n")
    done = edgefeat_command("verify", spoilt, "--json")
    assert done.returncode == 1
    result = strict_json(done.stdout)
    assert result["ok"] is False
    assert {check["status"] for check in result["checks"]} == {"off"}


def test_an_altered_bundle_fails_with_the_name_of_the_file(
    edgefeat_command: Run, one_tap: Path, altered: Altered
) -> None:
    bundle = altered(one_tap, lambda manifest, folder: None)
    model = bundle / "onnx-int8.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    for command in ("verify", "info"):
        done = edgefeat_command(command, bundle)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"edgefeat: bundle {bundle}: onnx-int8.onnx has " in done.stderr
        assert "copy the whole folder again" in done.stderr


def test_info_lists_the_engines(edgefeat_command: Run) -> None:
    done = edgefeat_command("info")
    assert (done.returncode, done.stderr) == (0, "")
    first, cores, _, *rows = [line for line in done.stdout.splitlines() if not line.startswith("warning: ")]
    assert first.startswith(f"edgefeat {edgefeat.__version__}, Python 3.")
    assert cores.startswith("cores: ")
    for row, engine in zip(rows, ENGINES, strict=True):
        assert row.split()[:3] == [engine.name, engine.version() or "-", f".{engine.format}"]
        assert row.endswith(install_command(engine.extra))
    machine = strict_json(edgefeat_command("info", "--json").stdout)
    assert machine["engines"] == {engine.name: engine.version() for engine in ENGINES}
    assert {"edgefeat", "python", "numpy", "pillow", "platform", "threads"} <= set(machine)


def test_info_of_a_bundle_says_what_it_holds_and_what_would_run(edgefeat_command: Run, two_taps: Path) -> None:
    extractor = edgefeat.load(two_taps)
    done = edgefeat_command("info", two_taps)
    assert done.returncode == 0
    assert done.stdout.endswith(f"runs here: {extractor.variant} on {extractor.engine} ({extractor.reason})\n")
    assert "tap inner.point: layer inner/point, pooling avg, l2 norm, 16 float32\n" in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith(edgefeat.VARIANTS)]
    assert [row.split()[0] for row in rows] == list(edgefeat.VARIANTS)
    assert [row.split()[0] for row in rows if row.endswith("runs")] == [extractor.variant]
    said = strict_json(edgefeat_command("info", two_taps, "--json").stdout)
    assert (said["variant"], said["engine"]) == (extractor.variant, extractor.engine)
    assert said["identity"] == extractor.bundle.identity
    assert said["manifest"]["name"] == extractor.bundle.manifest.name


def test_info_of_a_bundle_that_cannot_run_here_says_why(edgefeat_command: Run, one_tap: Path, altered: Altered) -> None:
    def spoil(manifest: dict[str, Any], folder: Path) -> None:
        for variant in manifest["variants"]:
            (folder / variant["file"]["name"]).write_bytes(b"no model" * 100)

    bundle = altered(one_tap, spoil)
    done = edgefeat_command("info", bundle)
    assert done.returncode == 0
    assert "\ncannot run here: engine " in done.stdout
    assert "cannot load the model" in strict_json(edgefeat_command("info", bundle, "--json").stdout)["cannot_run"]
    assert edgefeat_command("extract", bundle, "p.png").returncode == 1
