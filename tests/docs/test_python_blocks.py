"""README's and docs' `python` blocks run as printed, in a folder as the pages assume it, each page in a new process.

A block that cannot be run has a comment in the line above: `<!-- not run: the reason -->`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.docs.python_blocks import PAGES, ROOT, Block, blocks

# What the sentences around a page's blocks say that the reader has.
READER = """
import edgefeat
paths = ["a.jpg", "b.png", "photo.jpg", "new.jpg"]
labels = ["rose", "rose", "daisy", "daisy"]
"""
SKLEARN = "from sklearn.pipeline import make_pipeline\nfrom sklearn.svm import SVC\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder: photos, a bundle and a database."""
    folder = tmp_path_factory.mktemp("reader")
    random = np.random.default_rng(1)
    for name in ("a.jpg", "b.png", "photo.jpg", "query.jpg", "new.jpg"):
        Image.fromarray(random.integers(0, 255, (96, 128, 3), np.uint8)).save(folder / name)
    shutil.copytree(ROOT / "tests" / "data" / "one_tap.edgefeat", folder / "mobilenet_v2.edgefeat")
    command = [sys.executable, "-m", "edgefeat", "extract", "mobilenet_v2.edgefeat", ".", "--into", "features.db"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "tutorials" not in page.parts and any(one.reason is None for one in blocks(page))],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_the_python_blocks_of_a_page_run_as_printed(page: Path, folder: Path) -> None:
    todo = [one for one in blocks(page) if one.reason is None]
    if any("edgefeat.sklearn" in one.code for one in todo):
        pytest.importorskip("sklearn", reason="a block of this page needs the extra sklearn")
    done = _run(todo, folder)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_block_broken_on_purpose_is_caught_and_its_line_named(folder: Path) -> None:
    (good,) = blocks(ROOT / "README.md")
    broken = Block(good.page, good.line, good.code.replace("extractor.extract(", "extractor.extracts("), None)
    done = _run([broken], folder)
    assert done.returncode == 1
    assert "AttributeError" in done.stderr
    (row,) = [row for row, line in enumerate(good.code.splitlines(), good.line) if 'extract("photo.jpg")' in line]
    assert f'File "README.md", line {row}' in done.stderr


def test_every_reason_is_a_sentence() -> None:
    reasons = [one for page in PAGES for one in blocks(page) if one.reason is not None]
    assert all(len(one.reason or "") > 20 for one in reasons), reasons


def _run(todo: list[Block], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the blocks in one namespace; tracebacks name the page and the line in it."""
    program = READER + (SKLEARN if any("edgefeat.sklearn" in one.code for one in todo) else "")
    for one in todo:
        code = "\n" * (one.line - 1) + one.code
        program += f"exec(compile({code!r}, {one.page!r}, 'exec'))\n"
    command = [sys.executable, "-W", "ignore:Pillow", "-c", program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
