"""What the device-side tests share: the engines installed here, the small bundles, pictures, the command line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.runtime.services.serving import Server, serving
from tests.runtime.store.databases import rows

from edgefeat._engines.engine import Engine
from edgefeat._engines.registry import ENGINES

DATA = Path(__file__).parents[1] / "data"
# An old Pillow, such as Debian's on 32-bit boards, is warned of once by each process: what test_old_pillow.py is about,
# and no other test.
os.environ["PYTHONWARNINGS"] = "ignore:Pillow"


def _usable(engine: Engine) -> bool:
    too_new = engine.name == "tflite-runtime" and int(np.__version__.split(".")[0]) >= 2
    return engine.version() is not None and not too_new


_INSTALLED = [engine for engine in ENGINES if _usable(engine)]
_PARAMETERS: list[Engine | None] = [*_INSTALLED] or [None]


@pytest.fixture(scope="session", params=_PARAMETERS, ids=lambda engine: engine.name if engine else "none")
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine that works here in turn."""
    if request.param is None:
        pytest.skip("no engine is installed")
    wanted: Engine = request.param
    return wanted


@pytest.fixture(scope="session")
def installed() -> list[Engine]:
    """The engines that work here, at least one, in the order in which they are preferred."""
    if not _INSTALLED:
        pytest.skip("no engine is installed")
    return _INSTALLED


@pytest.fixture(scope="session")
def one_tap(installed: list[Engine]) -> Path:
    """A bundle with one tap of 16 features; pictures are 32 x 32."""
    return DATA / "one_tap.edgefeat"


@pytest.fixture(scope="session")
def two_taps(installed: list[Engine]) -> Path:
    """A bundle with the taps `stem` and `inner.point`."""
    return DATA / "two_taps.edgefeat"


@pytest.fixture(scope="session")
def pictures() -> list[NDArray[np.uint8]]:
    """Eleven pictures, more than one batch, of several sizes, none the model's."""
    random = np.random.default_rng(5)
    coarse = [random.integers(0, 256, (3, 4, 3), np.uint8) for _ in range(11)]
    return [np.asarray(Image.fromarray(c).resize((40 + i, 50 - i))) for i, c in enumerate(coarse)]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, pictures: list[NDArray[np.uint8]]) -> list[str]:
    """Four of the pictures as files, to be read only."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [str(folder / f"photo {index}.png") for index in range(4)]
    for path, picture in zip(paths, pictures, strict=False):
        Image.fromarray(picture).save(path)
    return paths


@pytest.fixture(scope="session")
def altered(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Copies a bundle, lets `change(manifest, folder)` alter it, and makes sizes and hashes agree again."""

    def make(bundle: Path, change: Callable[[dict[str, Any], Path], object]) -> Path:
        folder = tmp_path_factory.mktemp("altered") / bundle.name
        shutil.copytree(bundle, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        change(manifest, folder)
        for file in (*(variant["file"] for variant in manifest["variants"]), manifest["golden"], manifest["card"]):
            data = (folder / file["name"]).read_bytes()
            file.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


@pytest.fixture
def edgefeat_command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the real command line in an empty folder; what it prints is there as text."""

    def run(*arguments: str | os.PathLike[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edgefeat", *[os.fspath(argument) for argument in arguments]],
            check=False,
            timeout=120,
            encoding="utf-8",
            **{"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    return run


@pytest.fixture
def folder(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    """Eleven photos in two folders, one name that is not ASCII, and three files that are no photo."""
    folder = tmp_path / "in"
    (folder / "süd").mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / ("süd" if index % 2 else "") / f"{index}.png")
    (folder / "empty.jpg").touch()
    (folder / "words.jpg").write_text("these are words")
    whole = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.fixture(scope="module")
def server(one_tap: Path) -> Iterator[Server]:
    """`edgefeat serve` on the bundle with one tap."""
    with serving(one_tap) as one:
        yield one


@pytest.fixture(scope="module")
def photo(photos: list[str]) -> bytes:
    """The file of one photo."""
    return Path(photos[0]).read_bytes()


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty photos that take a while each, every tenth broken. To be read only."""
    folder = tmp_path_factory.mktemp("many")
    random = np.random.default_rng(1)
    for index in range(60):
        path = folder / f"{index:03d}.png"
        if index % 10 == 9:
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + random.bytes(100))
        else:
            coarse = random.integers(0, 256, (4, 5, 3), np.uint8)
            Image.fromarray(coarse).resize((900, 700)).save(path, compress_level=1)
    return folder


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, one_tap: Path, many: Path) -> Path:
    """The database of an uninterrupted run on `many`. To be read only."""
    database = tmp_path_factory.mktemp("whole") / "whole.db"
    command = [sys.executable, "-m", "edgefeat", "extract", str(one_tap), str(many), "--into", str(database)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 1
    assert len(rows(database)) == 60
    return database
