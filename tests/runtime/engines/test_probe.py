"""An engine that dies, hangs or refuses in a process of its own, and what of it is remembered.

The engines that misbehave are packages made here, that a child process finds before any installed one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgefeat
from edgefeat._engines import probe
from edgefeat._engines.engine import Engine
from edgefeat._engines.isolated_run import run_trial
from edgefeat._engines.registry import ENGINES

Run = Callable[..., subprocess.CompletedProcess[str]]
Altered = Callable[..., Path]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes die of signals")

INTERPRETER = """
import os, signal, time
import numpy

class Interpreter:
    def __init__(self, model_content, num_threads):
        {constructed}

    def allocate_tensors(self): pass
    def get_input_details(self): return [dict(dtype=numpy.uint8, index=0)]
    def get_output_details(self): return [dict(name="last", index=1)]
    def set_tensor(self, index, value): pass
    def get_tensor(self, index): return numpy.zeros((1, 16), numpy.float32)

    def invoke(self):
        {invoked}
"""
ONNXRUNTIME = """
import os, signal

class SessionOptions: pass

def InferenceSession(*arguments, **options):
    {constructed}
"""
ILLEGAL = "os.kill(os.getpid(), signal.SIGILL)"
DIED = "it died of an illegal instruction: it was built for another processor"


class Fake:
    """A package in the place of LiteRT or ONNX Runtime, which notes each process that imports it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, engine: Engine, *, constructed: str = "pass", invoked: str = "pass") -> None:
        package = self.folder / "site" / engine.module
        package.mkdir(parents=True, exist_ok=True)
        note = f"import os\nopen({str(self.folder / 'imported')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        if engine.format == "tflite":
            (package / "__init__.py").write_text(note)
            (package / "interpreter.py").write_text(INTERPRETER.format(constructed=constructed, invoked=invoked))
        else:
            (package / "__init__.py").write_text(note + ONNXRUNTIME.format(constructed=constructed))

    def imports(self) -> int:
        """How many processes have imported it."""
        file = self.folder / "imported"
        return len(set(file.read_text().split())) if file.exists() else 0


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Children find it first, and start with an empty cache."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=os.pathsep)
    monkeypatch.setenv("EDGEFEAT_CACHE", str(tmp_path / "cache"))
    return Fake(tmp_path)


LITERT, ONNX = ENGINES[0], ENGINES[1]


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last message, without the page that helps."""
    assert "Traceback" not in done.stderr, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("edgefeat: ")][-1]


def test_an_engine_that_dies_ends_the_command_with_one_sentence(
    edgefeat_command: Run, one_tap: Path, photos: list[str], fake: Fake, tmp_path: Path
) -> None:
    fake.write(LITERT, constructed=ILLEGAL)
    done = edgefeat_command("extract", one_tap, *photos, "--engine", "litert")
    assert done.returncode == 1
    assert done.stderr == f"edgefeat: engine litert cannot be used on this processor: {DIED}\n  see docs/engines.md\n"
    assert done.stdout == ""
    assert fake.imports() == 1
    assert not (tmp_path / "features.npz").exists()

    done = edgefeat_command("extract", one_tap, *photos, "--engine", "litert")
    assert done.returncode == 1
    (verdicts,) = (tmp_path / "cache").iterdir()
    assert done.stderr == (
        f"edgefeat: engine litert cannot be used on this processor: {DIED} "
        f"(found earlier; delete {verdicts} to try again)\n  see docs/engines.md\n"
    )
    assert fake.imports() == 1  # neither tried again nor loaded

    verdicts.unlink()
    assert edgefeat_command("info", one_tap).returncode == 0
    assert fake.imports() == 2


def test_an_engine_that_dies_is_passed_over_for_the_next(
    edgefeat_command: Run,
    one_tap: Path,
    photos: list[str],
    altered: Altered,
    installed: list[Engine],
    fake: Fake,
    tmp_path: Path,
) -> None:
    dead = ONNX if installed[0].format == "tflite" else LITERT

    def dead_first(manifest: dict[str, Any], folder: Path) -> None:
        names = ("onnx-float32", "tflite-float16") if dead is ONNX else ("tflite-float32", "onnx-float32")
        for variant in manifest["variants"]:
            if variant["name"] not in names:
                (folder / variant["file"]["name"]).unlink()
        manifest["variants"] = [variant for variant in manifest["variants"] if variant["name"] in names]

    bundle = altered(one_tap, dead_first)
    fake.write(dead, constructed=ILLEGAL)
    for found_earlier in (False, True):
        done = edgefeat_command("extract", bundle, *photos)
        assert done.returncode == 0, done.stderr
        assert f"skipped: engine {dead.name} cannot be used on this processor: {DIED}" in done.stdout
        assert ("found earlier" in done.stdout) is found_earlier
        assert fake.imports() == 1
        with np.load(tmp_path / "features.npz") as arrays:
            engine, variant = str(arrays["engine"]).split()[0], str(arrays["variant"])
            features = arrays["features"]
        assert engine != dead.name
        expected = edgefeat.load(bundle, engine=engine, variant=variant).extract(photos)
        np.testing.assert_allclose(features, np.asarray(expected), atol=1e-6)


def test_verify_marks_an_engine_that_dies_and_goes_on(
    edgefeat_command: Run, one_tap: Path, installed: list[Engine], fake: Fake
) -> None:
    dead = ONNX if installed[0].format == "tflite" else LITERT
    fake.write(dead, constructed=ILLEGAL)
    done = edgefeat_command("verify", one_tap, "--json")
    assert done.returncode == 1, done.stderr
    checks = json.loads(done.stdout)["checks"]
    for check in checks:
        assert (check["status"] == "failed") is (check["engine"] == dead.name)
        assert check["status"] == "ok" or DIED in check["detail"]
    assert {check["engine"] for check in checks} > {dead.name}
    assert fake.imports() == 1


def test_without_a_cache_it_is_tried_once_a_process(
    edgefeat_command: Run, one_tap: Path, photos: list[str], fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEFEAT_CACHE", str(tmp_path / "file"))
    fake.write(LITERT, constructed=ILLEGAL)
    for times in (1, 2):
        done = edgefeat_command("extract", one_tap, *photos, "--engine", "litert")
        assert last_line(done) == f"edgefeat: engine litert cannot be used on this processor: {DIED}"
        assert fake.imports() == times


def test_a_refusal_is_no_verdict_on_the_processor(
    edgefeat_command: Run, one_tap: Path, photos: list[str], altered: Altered, fake: Fake, tmp_path: Path
) -> None:
    fake.write(LITERT, constructed="raise ValueError('not a model')")
    for imports in (2, 3):  # tried for this model the first time only
        done = edgefeat_command("extract", one_tap, *photos, "--engine", "litert", "--variant", "tflite-float32")
        assert last_line(done) == "edgefeat: engine litert cannot load the model: not a model"
        assert fake.imports() == imports
    fake.write(LITERT, constructed=ILLEGAL)
    done = edgefeat_command("extract", one_tap, *photos, "--engine", "litert", "--variant", "tflite-float16")
    assert DIED in last_line(done)

    def without_golden(manifest: dict[str, Any], folder: Path) -> None:
        (folder / "golden.npz").write_bytes(b"")

    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    bundle = altered(one_tap, without_golden)  # nor does a part of the bundle that is not needed here hide the death
    assert DIED in last_line(edgefeat_command("extract", bundle, *photos, "--engine", "litert"))


def trial(bundle: Path, **options: Any) -> Any:
    return run_trial(str(bundle), variant="tflite-float32", engine="litert", threads=1, **options)


@pytest.mark.parametrize(
    ("deed", "status", "detail"),
    [
        (ILLEGAL, "crashed", DIED),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "it died of SIGSEGV"),
        ("os.abort()", "crashed", "it died of SIGABRT"),
        ("os._exit(3)", "failed", "exit status 3"),
        ("raise RuntimeError('no such kernel')", "failed", "RuntimeError: no such kernel"),
    ],
)
def test_a_death_while_it_runs_costs_only_that_process(
    one_tap: Path, fake: Fake, deed: str, status: str, detail: str
) -> None:
    fake.write(LITERT, invoked=deed)
    found = trial(one_tap)
    assert (found.status, found.detail, found.milliseconds) == (status, detail, ())


@pytest.mark.parametrize("where", ["constructed", "invoked"])
def test_a_hang_is_ended(one_tap: Path, fake: Fake, where: str) -> None:
    fake.write(LITERT, **{where: "time.sleep(600)"})
    begun = time.monotonic()
    found = trial(one_tap, timeout=10.0)
    assert time.monotonic() - begun < 100
    assert (found.status, found.detail) == ("hung", "no answer within 10 s")
    assert fake.imports() == 1


def test_a_hang_holds_for_this_process_only(
    one_tap: Path, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.write(LITERT, constructed="time.sleep(600)")
    monkeypatch.setattr(probe, "_TIMEOUT", 10.0)
    monkeypatch.setattr(probe, "_found", {})
    for _ in range(2):
        assert probe.unusable(LITERT, edgefeat.Bundle.open(one_tap), "tflite-float32") == (
            "engine litert cannot be used on this processor: no answer within 10 s"
        )
    assert fake.imports() == 1
    assert not list(tmp_path.glob("cache/probes-*"))  # a busy machine is not the engine's fault


def test_what_is_slower_than_the_time_given_is_still_measured(one_tap: Path, fake: Fake) -> None:
    fake.write(LITERT, invoked="time.sleep(0.6)")
    found = trial(one_tap, seconds=0.1)
    assert found.status == "ok"
    assert all(600 <= milliseconds < 5000 for milliseconds in found.milliseconds)
    assert len(found.milliseconds) >= 1


def test_what_lies_in_the_current_folder_is_not_imported(
    one_tap: Path, photos: list[str], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFEAT_CACHE", str(tmp_path / "cache"))
    for name in ("numpy", "json", "PIL", engine.module):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')")
    # As the installed command does, and unlike `python -m`, this leaves the current folder out.
    command = [sys.executable, "-P", "-m", "edgefeat", "extract", str(one_tap), *photos, "--engine", engine.name]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert any(path.name.startswith("probes-") for path in (tmp_path / "cache").iterdir())
    assert not (tmp_path / "imported").exists()
