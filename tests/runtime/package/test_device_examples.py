"""The device's examples, run as a reader would, on generated frames in place of a camera."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgefeat

EXAMPLES = Path(__file__).parents[3] / "examples"
SCRIPTS = ("camera_picamera2.py", "camera_opencv.py")

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not part of the wheel")


def run(script: str, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, cwd=cwd)


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_uses_what_is_public_and_needs_no_more_than_it_says(script: str) -> None:
    tree = ast.parse((EXAMPLES / script).read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    camera = {"camera_picamera2.py": "picamera2", "camera_opencv.py": "cv2"}.get(script)
    assert others <= {"edgefeat", "numpy", "PIL", camera}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and name_of(node) == "edgefeat"}
    assert "load" in used
    assert used <= set(edgefeat.__all__)


def name_of(node: ast.Attribute) -> str | None:
    return node.value.id if isinstance(node.value, ast.Name) else None


def test_the_picamera_loop_prints_the_similarity_to_the_reference(one_tap: Path, tmp_path: Path) -> None:
    frame = np.full((480, 640, 3), 30, np.uint8)
    frame[160:320, :160] = (250, 180, 40)  # the first frame that is generated
    Image.fromarray(frame).save(tmp_path / "reference.png")
    done = run("camera_picamera2.py", one_tap, tmp_path / "reference.png", "--frames", "12")
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^similarity (\S+)  (\S+) fps$", done.stdout, flags=re.MULTILINE)
    assert len(found) == len(done.stdout.splitlines()) == 12
    similarities = [float(similarity) for similarity, _ in found]
    assert similarities[0] == pytest.approx(1, abs=1e-3)
    assert -1 <= min(similarities) < 1
    assert all(float(fps) > 0 for _, fps in found)


def test_the_webcam_loop_names_each_new_scene(one_tap: Path) -> None:
    # The small network of the tests tells plain colours apart by little.
    colours = [np.full((480, 640, 3), 10, np.uint8) for _ in range(3)]
    for channel, colour in zip((2, 1, 0), colours, strict=True):
        colour[:, :, channel] = 210
    features = np.asarray(edgefeat.load(one_tap).extract(colours))
    between = [float(features[index] @ features[index + 1]) for index in range(2)]
    alike = str((1 + max(between)) / 2)
    done = run("camera_opencv.py", one_tap, "--frames", "30", "--alike", alike)
    assert done.returncode == 0, done.stderr
    *scenes, last = done.stdout.splitlines()
    assert [re.match(r"new scene at frame (\d+)", scene)[1] for scene in scenes] == ["0", "10", "20"]  # type: ignore[index]
    assert [float(scene.rpartition(" ")[2]) for scene in scenes[1:]] == pytest.approx(between, abs=0.01)
    assert re.fullmatch(r"30 frames, \S+ fps", last)
