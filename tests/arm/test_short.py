"""The short form of `make test-arm`, so that every test run includes an emulated Raspberry Pi."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import LONG

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.timeout(1800)
@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the emulated board needs Linux on x86"
)
@pytest.mark.parametrize(
    "options", [["--tests", ""], pytest.param([], marks=LONG)], ids=["alone", "with tests/runtime"]
)
def test_an_emulated_raspberry_pi_has_the_features_of_x86(options: list[str]) -> None:
    command = [sys.executable, "-m", "tests.arm", "--short", "--json", *options]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert {row["variant"] for row in rows if row["engine"] == "litert"} == {
        *("tflite-float32", "tflite-float16", "tflite-int8", "tflite-dynamic")
    }
    for row in rows:
        if row["variant"] in ("tflite-int8", "tflite-dynamic"):
            assert row["cosine"] >= 0.999
        elif row["difference"] is not None:
            assert row["difference"] < 1e-4
    ran = any(row["what"] == "tests/runtime" and "passed" in row["detail"] for row in rows)
    assert ran == (not options)
