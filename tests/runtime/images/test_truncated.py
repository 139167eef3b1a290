"""Truncated pictures: one that lacks only its end is whole; others are refused, or accepted and marked."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

import edgefeat
from edgefeat import PictureError
from edgefeat._images.form import PictureForm
from edgefeat._images.limits import Limits
from edgefeat._images.picture import read_picture, read_with_share

HEIGHT, WIDTH = 240, 320
FORM = PictureForm(HEIGHT, WIDTH)
Run = Callable[..., subprocess.CompletedProcess[str]]


def scene() -> Image.Image:
    coarse = np.random.default_rng(4).integers(0, 256, (30, 40, 3), np.uint8)
    return Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)


def encoded(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    scene().save(stream, kind, **options)
    return stream.getvalue()


JPEGS = {
    "baseline": encoded("JPEG"),
    "fine": encoded("JPEG", quality=97, subsampling=0),
    "restarts": encoded("JPEG", restart_marker_blocks=5),
    "progressive": encoded("JPEG", progressive=True),
}


@pytest.mark.parametrize("lacking", [1, 2])
@pytest.mark.parametrize("decoding", ["fast", "exact"])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_only_its_end_is_whole(kind: str, decoding: str, lacking: int) -> None:
    data = JPEGS[kind]
    assert data.endswith(b"\xff\xd9")
    whole = read_picture(data, FORM, decoding)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_picture(data[:-lacking], FORM, decoding), whole)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", JPEGS)
@pytest.mark.parametrize("left", [0.3, 0.6, 0.9, 0.995])
def test_one_that_was_cut_is_refused_and_says_how_much_is_there(kind: str, left: float) -> None:
    data = JPEGS[kind]
    with pytest.raises(PictureError, match=r"the file is truncated, \d+ % of its rows are there \(allowed: all\)"):
        read_picture(data[: int(left * len(data))], FORM, "exact")


def test_scans_that_are_missing_altogether_are_noticed() -> None:
    data = JPEGS["progressive"]
    with pytest.raises(PictureError, match=r"99 % of its rows are there"):
        read_picture(data[: data.rindex(b"\xff\xda")], FORM, "exact")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["baseline", "fine", "restarts"]), st.floats(0.05, 1))
@example("restarts", 0.09805294058869296)  # between two restart intervals
@example("restarts", 0.5469615535730442)  # one kind of noise decodes as nothing would
def test_the_rows_that_are_said_to_be_there_are_those_of_the_whole(kind: str, left: float) -> None:
    data = JPEGS[kind]
    whole = read_picture(data, FORM, "exact")
    try:
        partial, share = read_with_share(
            data[: int(left * len(data))], FORM, "exact", "rgb", threads=1, limits=Limits(least_share=0.01)
        )
    except PictureError:
        assert left < 0.15
        return
    rows = int(share * HEIGHT)
    np.testing.assert_array_equal(partial[:rows], whole[:rows])
    assert rows >= HEIGHT * (left - 0.25)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "PPM"])
def test_formats_of_rows_are_taken_as_far_as_they_go(kind: str) -> None:
    data = encoded(kind)
    whole = np.asarray(scene())
    cut = data[: int(0.7 * len(data))]
    with pytest.raises(PictureError, match=r"--truncated accept --least-share 0\.\d\d or load\(least_share=0\.\d\d\)"):
        read_picture(cut, FORM)
    partial, share = read_with_share(cut, FORM, "fast", "rgb", threads=1, limits=Limits(least_share=0.5))
    rows = int(share * HEIGHT)
    assert 0.55 < share < 0.85
    if kind == "BMP":  # from the bottom upwards
        return
    np.testing.assert_array_equal(partial[:rows], whole[:rows])
    assert not partial[rows + 1 :].any()


def test_a_png_that_lacks_only_its_end_is_whole() -> None:
    np.testing.assert_array_equal(read_picture(encoded("PNG")[:-6], FORM), np.asarray(scene()))


PEAK = """
import sys
from edgefeat._images.form import PictureForm
from edgefeat._images.limits import Limits
from edgefeat._images.picture import read_picture
read_picture(sys.argv[1], PictureForm(64, 64), limits=Limits(least_share=0.5))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_cut_photo_takes_the_memory_of_one_copy(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.bmp", tmp_path / "cut.bmp"
    Image.new("RGB", (4000, 3000), "teal").save(whole)
    cut.write_bytes(whole.read_bytes()[:-4_000_000])
    command = [sys.executable, "-c", PEAK]
    kilobytes = [
        int(subprocess.run([*command, path], check=True, capture_output=True, text=True).stdout)
        for path in (whole, cut)
    ]
    assert kilobytes[1] - kilobytes[0] < 4000 * 3000 * 4 / 1000 / 2  # Pillow has 4 bytes a pixel


@pytest.fixture
def cut_photos(tmp_path: Path) -> Path:
    """One photo that is whole, one of which most is there, one of which little is."""
    folder = tmp_path / "in"
    folder.mkdir()
    data = JPEGS["baseline"]
    for name, left in (("whole", 1.0), ("most", 0.8), ("little", 0.2)):
        (folder / f"{name}.jpg").write_bytes(data[: int(left * len(data))])
    return folder


def test_accepted_ones_are_named_with_their_share(edgefeat_command: Run, one_tap: Path, cut_photos: Path) -> None:
    done = edgefeat_command("extract", one_tap, "in")
    assert done.returncode == 1
    assert done.stderr.count("the file is truncated") == 2
    done = edgefeat_command("extract", one_tap, "in", "--truncated", "accept", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["ok"] == 2
    assert [failed["path"] for failed in told["failed"]] == ["in/little.jpg"]
    ((mark,),) = (told["truncated"],)
    assert mark["path"] == "in/most.jpg"
    assert 0.6 < mark["share"] < 0.9
    assert f"in/most.jpg: truncated: {int(100 * mark['share'])} % of its rows are there" in done.stderr
    done = edgefeat_command("extract", one_tap, "in", "--truncated", "accept", "--least-share", "0.05")
    assert done.returncode == 0
    done = edgefeat_command("extract", one_tap, "in", "--least-share", "0.05")
    assert done.returncode == 2
    assert "add --truncated accept" in done.stderr


def test_rows_of_accepted_ones_are_marked(
    edgefeat_command: Run, one_tap: Path, cut_photos: Path, tmp_path: Path
) -> None:
    options = ("--into", "f.db", "--workers", "1")
    assert edgefeat_command("extract", one_tap, "in", *options).returncode == 1
    done = edgefeat_command("extract", one_tap, "in", *options, "--truncated", "accept", "--retry-failed", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["truncated"] == 1
    assert "--truncated=accept" in json.loads(done.stdout.splitlines()[-1])["again"]
    (cut_photos / "copy.jpg").write_bytes((cut_photos / "most.jpg").read_bytes())
    assert edgefeat_command("extract", one_tap, "in", *options).returncode == 0
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        photos = {Path(photo.path).name: (photo.status, photo.error) for photo in store.rows()}
        assert len(store) == 3
    assert photos["whole.jpg"] == ("ok", None)
    assert photos["most.jpg"][0] == "ok"
    assert "% of its rows are there" in str(photos["most.jpg"][1])
    assert photos["copy.jpg"] == photos["most.jpg"]
    assert photos["little.jpg"][0] == "failed"
