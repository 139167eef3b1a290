"""A bundle is read whole and unaltered, or refused before anything native sees it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgefeat
from edgefeat._engines.engine import Engine
from edgefeat._engines.registry import ENGINES

posix = pytest.mark.skipif(os.name != "posix", reason="makes links and pipes")


@pytest.fixture
def copy(one_tap: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(one_tap, tmp_path / "copy.edgefeat"))


def refusal(bundle: Path | str) -> str:
    with pytest.raises(edgefeat.BundleError) as raised:
        edgefeat.Bundle.open(bundle)
    return str(raised.value)


def python(program: str, *arguments: str | Path, **environment: str) -> str:
    """What the program prints, run in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FILES = [path.name for path in (Path(__file__).parents[2] / "data" / "one_tap.edgefeat").iterdir()]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert name in refusal(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_or_longer_file_is_named(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    for changed in (b"", data[:8], data[:-2], data + b"x"):
        (copy / name).write_bytes(changed)
        said = refusal(copy)
        assert name in said
        if name != "manifest.json":
            assert f"{name} has {len(changed)} bytes, the manifest says {len(data)}" in said


def test_a_foreign_file_is_named_and_what_other_programs_leave_is_not(copy: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._tflite-int8.tflite", "._.", ".gitattributes"):
        (copy / name).write_bytes(b"x")
    for name in (".cache", ".git", "@eaDir"):  # of a model hub, a version control, a network drive
        (copy / name).mkdir()
    assert edgefeat.Bundle.open(copy).manifest.name == "tiny_last_32"
    for name in ("model.tflite", "sub", "__init__.py"):
        (copy / name).mkdir()
        assert repr(name) in refusal(copy)
        (copy / name).rmdir()


def test_what_is_no_folder_is_refused(copy: Path, tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "nowhere")
    assert "is a file" in refusal(copy / "manifest.json")
    assert "does not exist" in refusal(Path("a\0b"))
    (tmp_path / "empty").mkdir()
    assert "has no manifest.json (expected: a folder written by `edgefeat export`)" in refusal(tmp_path / "empty")
    assert "bundle '' does not exist (expected: a folder written by `edgefeat export`)" in refusal("")


def test_an_oversize_manifest_is_not_read_on(copy: Path) -> None:
    with open(copy / "manifest.json", "ab") as stream:
        stream.write(b" " * 4_000_000)
    assert "manifest.json is longer than the 4000000 bytes allowed" in refusal(copy)


@posix
@pytest.mark.parametrize("name", ["manifest.json", "golden.npz", "tflite-int8.tflite", "README.md"])
def test_a_link_a_pipe_and_a_folder_are_no_files(copy: Path, tmp_path: Path, name: str) -> None:
    (copy / name).rename(tmp_path / name)
    (copy / name).symlink_to(tmp_path / name)
    assert f"{name} is a link" in refusal(copy) or "it is a link" in refusal(copy)
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert name in refusal(copy)
    (copy / name).unlink()
    (copy / name).mkdir()
    assert name in refusal(copy)


@posix
def test_a_link_that_takes_a_files_place_after_opening_is_not_followed(copy: Path, tmp_path: Path) -> None:
    bundle = edgefeat.Bundle.open(copy)
    for file in bundle.manifest.files():
        (copy / file.name).rename(tmp_path / file.name)
        (copy / file.name).symlink_to(tmp_path / file.name)
        with pytest.raises(edgefeat.BundleError, match="it is a link"):
            bundle.read(file)


def test_each_of_200_flipped_bytes_of_a_model_is_refused(copy: Path, engine: Engine) -> None:
    name = f"{engine.format}-float32"
    path = copy / f"{name}.{engine.format}"
    whole = path.read_bytes()
    draw = random.Random(3)
    for _ in range(200):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= draw.randrange(1, 256)
        path.write_bytes(data)
        with pytest.raises(edgefeat.BundleError, match=f"{path.name} was changed"):
            edgefeat.load(copy, engine=engine.name, variant=name)
    path.write_bytes(whole)
    assert edgefeat.load(copy, engine=engine.name, variant=name).variant == name


LOAD = """
import sys
seen = set()
sys.addaudithook(lambda event, _: seen.add(event))
import edgefeat
try:
    edgefeat.load(sys.argv[1])
except edgefeat.BundleError as error:
    print(error)
print("subprocess.Popen" in seen, set(sys.argv[2:]) & sys.modules.keys())
"""


def test_an_altered_model_reaches_no_engine_and_no_other_process(copy: Path, tmp_path: Path) -> None:
    for path in copy.iterdir():
        if path.name.startswith(("tflite", "onnx")):
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    modules = {engine.module for engine in ENGINES}
    said = python(LOAD, copy, *modules, EDGEFEAT_CACHE=str(tmp_path / "cache")).splitlines()
    assert "was changed (its SHA-256 differs from the manifest)" in said[0]
    assert said[1] == "False set()"
    assert not (tmp_path / "cache").exists()


def test_a_bundle_says_which_it_is(copy: Path, one_tap: Path) -> None:
    data = (one_tap / "manifest.json").read_bytes()
    assert edgefeat.Bundle.open(copy).identity == hashlib.sha256(data).hexdigest()
    assert edgefeat.Bundle.open(copy).identity == edgefeat.Bundle.open(str(one_tap)).identity
    (copy / "manifest.json").write_text(json.dumps(json.loads(data)))
    assert edgefeat.Bundle.open(copy).identity != edgefeat.Bundle.open(one_tap).identity
