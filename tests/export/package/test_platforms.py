"""The platforms page equals the output of its generator for the recorded rows."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
SCRIPT = REPOSITORY / "tests" / "systems" / "platforms.py"
BUNDLE = REPOSITORY / "tests" / "data" / "one_tap.edgefeat"

pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")


def run(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], check=True, timeout=100)


def test_rows_come_from_verify_and_newer_ones_replace_older(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgefeat", "verify", str(BUNDLE), "--engine", "onnxruntime", "--json"]
    verified = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    (tmp_path / "verify.json").write_text(verified)
    place = ("--platform", "A | board", "--python", "3.11.2", "--how", "make test-arm", "--bundle", "one_tap")
    run("record", *place, "--date", "2026-01-01", "--verify", tmp_path / "verify.json", "--output", tmp_path / "a.json")
    engine = ("--engine", "onnxruntime", "--engine-version", "9", "--variant", "onnx-int8", "--cosine", "0.5")
    run("add", *place, "--date", "2026-02-02", *engine, "--status", "off by far", "--output", tmp_path / "b.json")
    script: dict[str, Any] = runpy.run_path(str(SCRIPT))
    rows = script["read_rows"]([tmp_path / "a.json", tmp_path / "b.json"])
    assert [row.variant for row in rows] == ["onnx-float32", "onnx-int8", "onnx-int8"]
    kept = script["merged"](rows[1:], rows[:1])
    assert [(row.variant, row.status) for row in kept] == [("onnx-float32", "ok"), ("onnx-int8", "off by far")]
    page = script["page"](kept, [])
    # An older release of the engine keeps its own line.
    assert "| A \\| board | 3.11.2 | onnxruntime 9 |  |  |  | one_tap off by far, 0.500000 | one_tap |" in page
    assert page.count("| A \\| board |") == 2


def test_a_line_of_the_page_has_the_worst_of_all_bundles_and_tests_have_a_table_of_their_own(tmp_path: Path) -> None:
    script: dict[str, Any] = runpy.run_path(str(SCRIPT))
    common = {"platform": "P", "python": "3.13", "engine_version": "2", "how": "make test-arm", "date": "2026-01-02"}
    one = script["Row"](**common, engine="litert", variant="tflite-int8", bundle="a", status="ok", cosine=0.9995,
                        difference=1e-3)  # fmt: skip
    other = script["Row"](**common, engine="litert", variant="tflite-int8", bundle="b", status="ok", cosine=1.0,
                          difference=0.0)  # fmt: skip
    tests = script["Row"](**common, engine="litert", variant="all", bundle="tests/runtime",
                          status="FAILED: 3 failed, 7 passed", cosine=None, difference=None)  # fmt: skip
    features, _, ran = script["page"]([one, other, tests], []).partition("## The device side")
    assert "| P | 3.13 | litert 2 |  |  |  | ok, 0.999500, 1e-03 | a, b | `make test-arm` | 2026-01-02 |" in features
    assert "| P | 3.13 | litert | FAILED: 3 failed, 7 passed | `make test-arm` | 2026-01-02 |" in ran


def test_the_committed_page_is_made_of_the_committed_rows() -> None:
    script: dict[str, Any] = runpy.run_path(str(SCRIPT))
    rows = script["read_rows"]([REPOSITORY / "docs" / "platforms.json"])
    wheels = json.loads((REPOSITORY / "docs" / "wheels.json").read_text())
    page = (REPOSITORY / "docs" / "platforms.md").read_text()
    assert page == script["page"](rows, wheels), "docs/platforms.md was written by hand: make platforms"
