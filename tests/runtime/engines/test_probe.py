"""An engine that dies or refuses when it is loaded, and what of it is remembered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.engines.fake_engine import DIED, ILLEGAL, Fake

import edgefeat
from edgefeat._engines.engine import Engine
from edgefeat._engines.registry import ENGINES

Run = Callable[..., subprocess.CompletedProcess[str]]
Altered = Callable[..., Path]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes die of signals")

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


def test_an_engine_that_cannot_be_imported_is_passed_over(
    edgefeat_command: Run, one_tap: Path, photos: list[str], installed: list[Engine], fake: Fake
) -> None:
    broken = ONNX if installed[0].format == "tflite" else LITERT
    package = fake.folder / "site" / broken.module
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('DLL load failed:\\nno such library')")
    done = edgefeat_command("extract", one_tap, *photos, "--engine", broken.name)
    assert done.returncode == 1
    assert last_line(done) == f"edgefeat: engine {broken.name} cannot be imported: DLL load failed: no such library", (
        done.stderr
    )
    done = edgefeat_command("info", one_tap, "--variant", f"{installed[0].format}-float32")
    assert "Traceback" not in done.stderr
    program = "import sys, edgefeat; e = edgefeat.load(sys.argv[1]); print(e.engine, e.reason, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", program, one_tap], check=False, capture_output=True, text=True)
    engine, reason = done.stdout.splitlines()
    assert engine == installed[0].name
    if broken.format == "tflite":  # it comes first
        assert "cannot be imported: DLL load failed" in reason


def test_a_frozen_program_is_not_started_again(
    one_tap: Path, photos: list[str], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What PyInstaller makes: `sys.executable` is the program itself.
    monkeypatch.setenv("EDGEFEAT_CACHE", str(tmp_path / "cache"))
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, pathlib\n"
        "with open('started', 'a') as note: note.write('x')\n"
        "sys.frozen, sys.executable = True, str(pathlib.Path(__file__).with_name('program'))\n"
        "import edgefeat\n"
        "from edgefeat._commands.main import main\n"
        "if len(sys.argv) > 1: sys.exit(main())\n"
        f"extractor = edgefeat.load({str(one_tap)!r}, engine={engine.name!r})\n"
        f"print(extractor.extract({photos[0]!r}).shape)\n"
    )
    (tmp_path / "program").write_text(f"#!/bin/sh\nexec {sys.executable} {program}\n")
    (tmp_path / "program").chmod(0o755)

    def started(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(program), *arguments]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120)

    done = started()
    assert done.stdout == "(16,)\n", done.stderr
    assert (tmp_path / "started").read_text() == "x"
    done = started("extract", str(one_tap), photos[0], "--into", "features.db", "--engine", engine.name)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no other process can be started: Python is part of another program" in done.stderr
    assert (tmp_path / "started").read_text() == "xx"
