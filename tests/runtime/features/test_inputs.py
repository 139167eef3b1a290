"""What `edgefeat extract` can be given: lists, standard input, archives read in place; and a plain word about URLs."""

from __future__ import annotations

import io
import json
import os
import shlex
import struct
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import edgefeat
from edgefeat import PictureError
from edgefeat._images.sources.archives import archive_members, member_path, read_member

Run = Callable[..., subprocess.CompletedProcess[str]]


def paths_in(file: Path) -> list[str]:
    with np.load(file) as arrays:
        return list(map(str, arrays["paths"].tolist()))


def features_in(file: Path) -> NDArray[np.float32]:
    with np.load(file) as arrays:
        features: NDArray[np.float32] = arrays["features"]
        return features


@pytest.fixture
def album(tmp_path: Path, photos: list[str]) -> Path:
    """Photos under names that make a list difficult."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, photo in zip(("a b.png", "two\nlines.png", " space.png", "ü.png"), photos, strict=True):
        (folder / name).write_bytes(Path(photo).read_bytes())
    return folder


def test_a_list_is_read_from_a_file(edgefeat_command: Run, one_tap: Path, album: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes("in/ü.png\r\n\nin/a b.png\nin/ space.png".encode())
    done = edgefeat_command("extract", one_tap, "in/a b.png", "--from-file", "list")
    assert done.returncode == 0, done.stderr
    assert paths_in(tmp_path / "features.npz") == ["in/a b.png", "in/ü.png", "in/a b.png", "in/ space.png"]


@pytest.mark.parametrize("given_as", [["-"], ["--from-file", "-"]])
def test_a_list_of_any_names_is_read_from_standard_input(
    edgefeat_command: Run, one_tap: Path, album: Path, tmp_path: Path, given_as: list[str]
) -> None:
    names = sorted(str(path.relative_to(tmp_path)) for path in album.iterdir())
    done = edgefeat_command("extract", one_tap, *given_as, "-0", input="\0".join(names) + "\0")
    assert done.returncode == 0, done.stderr
    assert paths_in(tmp_path / "features.npz") == names


def test_a_list_may_name_folders_and_goes_into_a_database(
    edgefeat_command: Run, one_tap: Path, album: Path, tmp_path: Path
) -> None:
    (tmp_path / "list").write_text("in\nin/ü.png\ngone.png\n")
    done = edgefeat_command("extract", one_tap, "--from-file", "list", "--into", "f.db", "--json", "--workers", "1")
    end = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, end["computed"], end["failed"]) == (1, 4, 1)
    assert "--from-file=list" in end["again"]
    again = edgefeat_command(*shlex.split(end["again"])[1:])
    end = json.loads(again.stdout.splitlines()[-1])
    assert (end["computed"], end["unchanged"], end["failed_before"]) == (0, 4, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no PATH given"),
        (["x.png", "-0"], "-0 applies to lists only"),
        (["--from-file", "gone"], "--from-file 'gone' cannot be read: No such file or directory"),
        (["--from-file", "nul"], "is not a list of paths, one per line: for paths separated by NUL add -0"),
        (["--from-file", "long"], "is not a list of paths"),
    ],
)
def test_wrong_use_of_lists_is_named(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "nul").write_bytes(b"a.png\0b.png\0")
    (tmp_path / "long").write_bytes(b"x" * 1_000_000)
    for more in ([], ["--into", "f.db"]):
        done = edgefeat_command("extract", one_tap, *arguments, *more)
        assert done.returncode == 2
        assert said in done.stderr
    assert not list(tmp_path.glob("f.db*"))


@pytest.mark.parametrize("into", [[], ["--into", "f.db"]])
def test_a_photo_on_standard_input_is_no_list_of_paths(
    edgefeat_command: Run, one_tap: Path, photos: list[str], into: list[str]
) -> None:
    with open(photos[0], "rb") as photo:
        done = edgefeat_command("extract", one_tap, "-", *into, stdin=photo)
    assert done.returncode == 2
    assert "standard input is not a list of paths, one per line (- reads such a list, not a photo)" in done.stderr
    assert "--from-file" not in done.stderr


@pytest.mark.parametrize("into", [[], ["--into", "f.db"]])
def test_a_url_gets_one_line(edgefeat_command: Run, one_tap: Path, photos: list[str], into: list[str]) -> None:
    url = "https://example.com/a.jpg?x=1"
    done = edgefeat_command("extract", one_tap, photos[0], url, *into)
    assert done.returncode == 1
    line = f"{url}: is a URL, which is not supported: download it first with: curl -LO '{url}'"
    assert done.stderr.removeprefix("edgefeat: ").splitlines() == [line]
    with pytest.raises(PictureError, match="is a URL, which is not supported: download it first"):
        edgefeat.load(one_tap).extract(url)


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


LONG = "long/" * 40 + "name.png"
MADE = {
    "deflate.zip": lambda path, files: zipped(path, files),
    "stored.zip": lambda path, files: zipped(path, files, zipfile.ZIP_STORED),
    "pax.tar": lambda path, files: tarred(path, files),
    "gnu.tar": lambda path, files: tarred(path, files, tarfile.GNU_FORMAT),
    "OLD.TAR": lambda path, files: tarred(path, {n: d for n, d in files.items() if n != LONG}, tarfile.USTAR_FORMAT),
}


@pytest.fixture
def files(photos: list[str]) -> dict[str, bytes]:
    data = [Path(photo).read_bytes() for photo in photos]
    return {"./a.png": data[0], "süd/b.PNG": data[1], LONG: data[2], "note.txt": b"no", ".hidden/c.png": data[3]}


@pytest.mark.parametrize("name", MADE)
def test_photos_in_an_archive_are_read_in_place(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str], files: dict[str, bytes], name: str
) -> None:
    MADE[name](tmp_path / name, files)
    members = [f"{name}!/{member}" for member in ("a.png", "süd/b.PNG", *([LONG] if name != "OLD.TAR" else []))]
    done = edgefeat_command("extract", one_tap, name)
    assert done.returncode == 0, done.stderr
    assert paths_in(tmp_path / "features.npz") == members
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "features.npz"])
    expected = edgefeat.load(one_tap).extract(photos[: len(members)])
    np.testing.assert_array_equal(features_in(tmp_path / "features.npz"), expected)
    np.testing.assert_array_equal(edgefeat.load(one_tap).extract(str(tmp_path / members[1])), np.asarray(expected)[1])


@pytest.mark.parametrize("name", ["deflate.zip", "gnu.tar"])
def test_photos_in_an_archive_are_rows_of_a_database(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str], files: dict[str, bytes], name: str
) -> None:
    MADE[name](tmp_path / name, files)
    members = [f"{name}!/{member}" for member in ("a.png", "süd/b.PNG", LONG)]
    expected = edgefeat.load(one_tap).extract(photos[: len(members)])
    done = edgefeat_command("extract", one_tap, name, "--into", "f.db", "--json")
    end = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, end["computed"]) == (0, len(members))
    end = json.loads(edgefeat_command("extract", one_tap, name, "--into", "f.db", "--json").stdout.splitlines()[-1])
    assert (end["computed"], end["unchanged"]) == (0, len(members))
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        assert sorted(photo.path for photo in store.rows()) == sorted(str(tmp_path / member) for member in members)
        np.testing.assert_array_equal(store.feature(str(tmp_path / members[0])), np.asarray(expected)[0])


def test_an_archive_that_changed_is_read_again(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, files: dict[str, bytes]
) -> None:
    zipped(tmp_path / "x.zip", files)
    assert edgefeat_command("extract", one_tap, "x.zip", "--into", "f.db").returncode == 0
    files["./a.png"] = files["süd/b.PNG"]
    zipped(tmp_path / "x.zip", files)
    os.utime(tmp_path / "x.zip", (time.time() + 5, time.time() + 5))
    end = json.loads(edgefeat_command("extract", one_tap, "x.zip", "--into", "f.db", "--json").stdout.splitlines()[-1])
    assert (end["computed"] + end["moved"], end["failed"]) == (3, 0)
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        first, second = (store.feature(str(tmp_path / "x.zip!" / name)) for name in ("a.png", "süd/b.PNG"))
        np.testing.assert_array_equal(first, second)


def refused(path: Path) -> str:
    """The reason why its members cannot be listed, or its first one not be read."""
    try:
        found = member_path(next(archive_members(str(path))))
        assert found is not None
        read_member(*found)
    except PictureError as error:
        return str(error)
    return ""


def test_bombs_and_what_cannot_be_read_in_place_are_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    bomb = zipped(tmp_path / "bomb.zip", {"a.bmp": bytes(257_000_000)})
    assert bomb.stat().st_size < 300_000
    assert "257,000,000 bytes in an archive (allowed: 256,000,000)" in refused(bomb)
    data = zipped(tmp_path / "small.zip", {"a.png": bytes(5_000_000)}).read_bytes()
    lying = data.replace(struct.pack("<I", 5_000_000), struct.pack("<I", 10))
    (tmp_path / "lying.zip").write_bytes(lying)
    assert refused(tmp_path / "lying.zip") == "is damaged in its archive"
    at = data.index(b"PK\1\2")
    entry, end = data[at:-22], data[-22:]
    copies = b"".join(entry[:46] + b"%05d" % n + entry[51:] for n in range(2_000))
    tail = end[:8] + struct.pack("<HHII", 2_000, 2_000, len(copies), at) + end[20:]
    (tmp_path / "overlap.zip").write_bytes(data[:at] + copies + tail)
    assert "overlap: it is malicious" in refused(tmp_path / "overlap.zip")
    assert "compressed by method 12" in refused(zipped(tmp_path / "bz.zip", files, zipfile.ZIP_BZIP2))
    with tarfile.open(tmp_path / "gz.tar", "w:gz") as archive:
        archive.add(tmp_path / "bz.zip", "a.png")
    assert "a compressed tar file cannot be read in place" in refused(tmp_path / "gz.tar")
    header = bytearray(tarred(tmp_path / "x.tar", {"x" * 200 + ".png": b"1"}, tarfile.GNU_FORMAT).read_bytes())
    header[124:136] = b"77777777777\0"
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:512]))
    (tmp_path / "x.tar").write_bytes(header)
    assert "a header of more than 1,000,000 bytes" in refused(tmp_path / "x.tar")


def test_too_many_members_are_refused_soon(tmp_path: Path) -> None:
    many = zipped(tmp_path / "many.zip", {"a.png": b"1"}).read_bytes()
    at = many.index(b"PK\1\2")
    entry = many[at:-22]
    directory = entry * 400_000
    end = many[-22:-10] + struct.pack("<II", len(directory), at) + b"\0\0"
    (tmp_path / "many.zip").write_bytes(many[:at] + directory + end)
    begun = time.monotonic()
    assert "a zip file with a directory of " in refused(tmp_path / "many.zip")
    assert time.monotonic() - begun < 2


def test_a_damaged_archive_is_one_failure_and_the_rest_is_done(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str]
) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 and no more")
    done = edgefeat_command("extract", one_tap, "broken.zip", photos[0])
    assert done.returncode == 1
    assert done.stderr.startswith("broken.zip: the archive is damaged or of another type")
    assert len(paths_in(tmp_path / "features.npz")) == 1
    done = edgefeat_command("extract", one_tap, "broken.zip", photos[0], "--into", "f.db", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["unlisted"] == 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(MADE)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    st.floats(0.2, 1),
)
def test_a_spoilt_archive_gives_members_or_one_error(
    tmp_path: Path, files: dict[str, bytes], name: str, changes: list[tuple[float, int]], left: float
) -> None:
    source = tmp_path / name
    if not source.exists():
        MADE[name](source, files)
    data = bytearray(source.read_bytes())
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    spoilt = tmp_path / f"spoilt{source.suffix.lower()}"
    spoilt.write_bytes(data[: int(left * len(data))])
    try:
        members = list(archive_members(str(spoilt)))
    except PictureError:
        return
    for member in members:
        found = member_path(member)
        assert found is not None
        try:
            content = read_member(*found)
        except PictureError:
            continue
        assert source.suffix != ".zip" or content in files.values()


def test_a_file_whose_path_only_looks_like_a_member_is_read(one_tap: Path, tmp_path: Path, photos: list[str]) -> None:
    folder = tmp_path / "x.zip!"
    folder.mkdir()
    (folder / "a.png").write_bytes(Path(photos[0]).read_bytes())
    extractor = edgefeat.load(one_tap)
    np.testing.assert_array_equal(extractor.extract(str(folder / "a.png")), extractor.extract(photos[0]))
