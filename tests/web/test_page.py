"""The page of `examples/web` in headless Chromium, used as a reader would: its features are edgefeat's."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tests.web.photos import make_photos

import edgefeat
from edgefeat._images.form import PictureForm
from edgefeat._images.picture import read_picture

pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")

HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "examples" / "web"
COMMITTED = HERE.parent / "data"
CHROMIUM = os.environ.get("EDGEFEAT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = [
    name
    for name, there in (
        ("node", shutil.which("node")),
        ("chromium", CHROMIUM),
        ("onnxruntime-web", (EXAMPLE / "node_modules" / "onnxruntime-web").is_dir()),
        ("playwright-core", (HERE / "node_modules" / "playwright-core").is_dir()),
    )
    if not there
]
needs_browser = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} absent: make test-web")


def bundles() -> list[Path]:
    """The committed ones, and the one that EDGEFEAT_WEB_BUNDLE names."""
    named = os.environ.get("EDGEFEAT_WEB_BUNDLE")
    return [COMMITTED / "one_tap.edgefeat", COMMITTED / "two_taps.edgefeat", *([Path(named)] if named else [])]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Requests are not the test's output."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server's address and the folder it serves, which holds the example."""
    folder = tmp_path_factory.mktemp("site")
    for path in EXAMPLE.iterdir():
        (folder / path.name).symlink_to(path)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


def use_page(url: str, **asked: Any) -> dict[str, Any]:
    """What the page gave, see `page.mjs`."""
    done = subprocess.run(
        ["node", str(HERE / "page.mjs"), json.dumps({"chromium": CHROMIUM, "url": url, **asked})],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    given: dict[str, Any] = json.loads(done.stdout)
    return given


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@needs_browser
@pytest.mark.parametrize("bundle", bundles(), ids=lambda path: path.stem)
@pytest.mark.parametrize("variant", ["onnx-float32", "onnx-int8"])
def test_features_of_the_page_are_those_of_edgefeat(
    site: tuple[str, Path], bundle: Path, variant: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url, folder = site
    if not (folder / bundle.name).exists():
        (folder / bundle.name).symlink_to(bundle.resolve())
    extractor = edgefeat.load(bundle, variant=variant, engine="onnxruntime", decoding="exact")
    photos = make_photos(tmp_path, edgefeat.Bundle.open(bundle))
    if os.environ.get("EDGEFEAT_WEB_BUNDLE"):
        shared = request.getfixturevalue("shared_data")
        photos |= {path.name: path for path in sorted((shared / "camera").glob("*.jpg"))}
    tap = extractor.taps[-1]
    shots = os.environ.get("EDGEFEAT_WEB_SCREENSHOTS")
    given = use_page(
        f"{url}/?bundle={bundle.name}",
        variant=variant,
        tap=tap.name if len(extractor.taps) > 1 else None,
        gallery=[str(path) for path in photos.values()],
        photo=str(photos["large.jpg"]),
        screenshots=shots if bundle == bundles()[-1] else None,
    )
    assert given["complaints"] == []
    assert given["error"] is None
    assert given["galleryError"] is None
    assert given["unlabelled"] == []
    assert variant in given["opened"]["model"]
    column = "features" if len(extractor.taps) == 1 else f"features/{tap.name}"
    rows = {row["path"]: np.array(row[column], np.float32) for row in map(json.loads, given["gallery"].splitlines())}
    assert sorted(rows) == sorted(photos)
    cosines = {name: cosine(rows[name], own_features(extractor, path, tap.name)) for name, path in photos.items()}
    print(f"{bundle.stem} {variant}: lowest cosine {min(cosines.values()):.6f}")
    assert min(cosines.values()) >= 0.999, cosines
    assert given["nearest"][0] == {"name": "large.jpg", "cosine": 1.0}
    assert len(given["nearest"]) == 5
    assert given["camera"].startswith("camera: ")
    record(bundle, variant, min(cosines.values()))


def own_features(extractor: edgefeat.Extractor, path: Path, tap: str) -> NDArray[np.float32]:
    found = extractor.extract(path)
    return found[tap] if isinstance(found, dict) else np.asarray(found)


def record(bundle: Path, variant: str, lowest: float) -> None:
    """A row for docs/platforms.md where `make test-web` asks for one."""
    folder = os.environ.get("EDGEFEAT_PLATFORM_ROWS")
    if not folder:
        return
    version = subprocess.run([str(CHROMIUM), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    engine = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]["onnxruntime-web"]
    command = [sys.executable, str(HERE.parent / "systems" / "platforms.py"), "add", "--python", ""]
    command += ["--platform", f"Browser: Chromium {version.partition('.')[0]}", "--variant", variant]
    command += ["--engine", "onnxruntime-web", "--engine-version", engine, "--how", "make test-web"]
    command += ["--bundle", edgefeat.Bundle.open(bundle).manifest.name, "--cosine", f"{min(lowest, 1.0)}"]
    command += ["--output", f"{folder}/web-{bundle.stem}-{variant}.json"]
    subprocess.run(command, check=True, timeout=100)


_FIT = """
import { readFileSync, writeFileSync } from "node:fs";
import { fitted } from "%s";
for (const { width, height, form, turned, input, output } of JSON.parse(process.argv[2])) {
  writeFileSync(output, fitted({ width, height, data: readFileSync(input), turned }, form));
}
"""
_QUARTER = """
import { readFileSync } from "node:fs";
import { quarterTurned } from "%s";
const found = process.argv.slice(2).map(async (path) => quarterTurned(new Blob([readFileSync(path)])));
console.log(JSON.stringify(await Promise.all(found)));
"""
_SIZES = [(500, 375), (375, 500), (1201, 33), (20, 19), (96, 64), (1, 1), (97, 45)]
# Of very tall photos newer Pillows resize the columns first, and so does the page.
_TALL = [(33, 1201), (350, 900)] if int(PIL.__version__.partition(".")[0]) >= 13 else []


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_resize_is_that_of_edgefeat_to_the_bit(tmp_path: Path, orientation: int) -> None:
    rng = np.random.default_rng(3)
    jobs: list[dict[str, Any]] = []
    expected = []
    exif = Image.Exif()
    exif[0x0112] = orientation
    for index, (width, height) in enumerate([*_SIZES, *_TALL]):
        for fit in ("stretch", "crop", "pad"):
            form = PictureForm(height=64, width=96, fit=fit)
            stored = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
            stored.save(tmp_path / "stored.png", exif=exif)
            expected.append(read_picture(tmp_path / "stored.png", form))
            with Image.open(tmp_path / "stored.png") as opened:
                upright = ImageOps.exif_transpose(opened).convert("RGBA")
            paths = {"input": str(tmp_path / f"{index}{fit}.in"), "output": str(tmp_path / f"{index}{fit}.out")}
            Path(paths["input"]).write_bytes(upright.tobytes())
            jobs.append({"width": upright.width, "height": upright.height, "turned": orientation >= 5,
                         "form": {"height": 64, "width": 96, "fit": fit}, **paths})  # fmt: skip
    script = tmp_path / "fit.mjs"
    script.write_text(_FIT % (EXAMPLE / "picture.js"))
    subprocess.run(["node", str(script), json.dumps(jobs)], check=True, timeout=100)
    for job, picture in zip(jobs, expected, strict=True):
        found = np.fromfile(job["output"], np.uint8).reshape(64, 96, 3)
        assert np.array_equal(found, picture), (job["width"], job["height"], job["form"])


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_quarter_turn_is_read_from_the_photo_and_damaged_exif_is_none(tmp_path: Path) -> None:
    cases: dict[str, bool] = {}
    for orientation in range(1, 9):
        for order in ("<", ">"):
            exif = Image.Exif()
            exif.endian = order
            exif[0x010F], exif[0x0112] = "a maker", orientation
            path = tmp_path / f"{orientation}{ord(order)}.jpg"
            Image.new("RGB", (9, 7)).save(path, exif=exif)
            cases[str(path)] = orientation >= 5
    whole = Path(next(path for path, quarter in cases.items() if quarter)).read_bytes()
    for cut in (0, 1, 3, 25, 40):
        (tmp_path / f"cut{cut}.jpg").write_bytes(whole[:cut])
        cases[str(tmp_path / f"cut{cut}.jpg")] = False
    Image.new("RGB", (9, 7)).save(tmp_path / "none.jpg")
    Image.new("RGB", (9, 7)).save(tmp_path / "none.png")
    (tmp_path / "text.jpg").write_text("no picture")
    cases |= {str(tmp_path / name): False for name in ("none.jpg", "none.png", "text.jpg")}
    script = tmp_path / "quarter.mjs"
    script.write_text(_QUARTER % (EXAMPLE / "orientation.js"))
    done = subprocess.run(["node", str(script), *cases], check=True, timeout=100, capture_output=True, text=True)
    assert dict(zip(cases, json.loads(done.stdout), strict=True)) == cases


@needs_browser
def test_a_gallery_of_edgefeat_extract_is_searched(site: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = site
    bundle = COMMITTED / "one_tap.edgefeat"
    if not (folder / bundle.name).exists():
        (folder / bundle.name).symlink_to(bundle)
    photos = make_photos(tmp_path, edgefeat.Bundle.open(bundle))
    lines = tmp_path / "gallery.jsonl"
    command = ["edgefeat", "extract", str(bundle), *map(str, photos.values()), "--exact", "-o", str(lines)]
    subprocess.run([sys.executable, "-m", *command, "--variant", "onnx-float32"], check=True, timeout=100)
    page = f"{url}/?bundle={bundle.name}"
    given = use_page(page, variant="onnx-float32", gallery=[str(lines)], photo=str(photos["turned.jpg"]))
    assert given["nearest"][0] == {"name": "turned.jpg", "cosine": 1.0}
    broken = tmp_path / "other.jsonl"
    broken.write_text('{"path": "a.jpg", "features": [1, 2]}\n')
    given = use_page(page, gallery=[str(lines), str(broken)], photo=str(photos["own.png"]))
    assert '2 numbers in "features"; this model gives 16' in given["galleryError"]


@needs_browser
def test_bundles_that_cannot_be_read_are_named(site: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = site
    source = COMMITTED / "one_tap.edgefeat"
    for name, change, sentence in (
        (
            "later",
            lambda text: text.replace('"schema": 1', '"schema": 2'),
            "schema version 2; this page reads version 1",
        ),
        ("notes", lambda text: "nothing", "is not JSON"),
        ("altered", lambda text: text.replace('"sha256": "', '"sha256": "0'), "was altered"),
    ):
        shutil.copytree(source, folder / name)
        manifest = folder / name / "manifest.json"
        manifest.write_text(change(manifest.read_text()))
        opened = use_page(f"{url}/?bundle={name}")["opened"]
        assert sentence in opened["error"]
    assert "404" in use_page(f"{url}/?bundle=nowhere")["opened"]["error"]


@needs_browser
def test_transparency_is_laid_over_the_colour_of_the_bundle(site: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = site
    bundle = folder / "blue.edgefeat"
    shutil.copytree(COMMITTED / "one_tap.edgefeat", bundle)
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"transparency": "white"', '"transparency": "#1030a0"'))
    photo = make_photos(tmp_path, edgefeat.Bundle.open(bundle))["seethrough.png"]
    given = use_page(f"{url}/?bundle={bundle.name}", variant="onnx-float32", gallery=[str(photo)], photo=str(photo))
    found = np.array(json.loads(given["gallery"])["features"], np.float32)
    on_blue = edgefeat.load(bundle, variant="onnx-float32").extract(photo)
    on_white = edgefeat.load(COMMITTED / "one_tap.edgefeat", variant="onnx-float32").extract(photo)
    assert cosine(found, np.asarray(on_blue)) >= 0.999
    assert cosine(np.asarray(on_white), np.asarray(on_blue)) < 0.999


@needs_browser
def test_a_bundle_is_picked_from_disk(site: tuple[str, Path]) -> None:
    given = use_page(site[0], picked=str(COMMITTED / "one_tap.edgefeat"))
    assert given["opened"]["error"] is None
    assert "tiny_last_32, onnx-float32" in given["opened"]["model"]
