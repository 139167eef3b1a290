"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from edgefeat import ArgumentError, OutputError
from edgefeat._bundle.atomic_files import check_new_folder, new_folder, write_file, written_file
from edgefeat._images.sources.folders import pictures_in


class StopError(Exception):
    """Raised by these tests alone."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    with written_file(tmp_path / "f") as stream:
        stream.write(b"new")
        assert not (tmp_path / "f").exists()
    assert (tmp_path / "f").read_bytes() == b"new"
    write_file(str(tmp_path / "f"), lambda stream: stream.write(b"newer"))
    assert (tmp_path / "f").read_bytes() == b"newer"
    assert names(tmp_path) == ["f"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")

    def fail(error: BaseException) -> None:
        with written_file(tmp_path / "f") as stream:
            stream.write(b"new")
            raise error

    with pytest.raises(StopError):
        fail(StopError())
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    with pytest.raises(OutputError, match="f cannot be written: No space left on device"):
        fail(OSError(28, "No space left on device"))
    assert (tmp_path / "f").read_bytes() == b"old"
    assert names(tmp_path) == ["f"]


def test_a_file_in_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="nowhere/f cannot be written: No such file"),
        written_file(tmp_path / "nowhere" / "f"),
    ):
        pass


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_file_and_a_folder_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "f", lambda stream: stream.write(b""))
        with new_folder(tmp_path / "d", overwrite=False):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "new.edgefeat"
    with new_folder(target, overwrite=False) as folder:
        (folder / "manifest.json").write_text("{}")
        assert not target.exists()
    assert names(target.parent) == ["new.edgefeat"]
    assert names(target) == ["manifest.json"]


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    target = bundle(tmp_path / "old.edgefeat", "old")

    def fail(path: Path, error: BaseException) -> None:
        with new_folder(path, overwrite=True) as folder:
            (folder / "manifest.json").write_text("new")
            raise error

    with pytest.raises(StopError):
        fail(target, StopError())
    with pytest.raises(KeyboardInterrupt):
        fail(target, KeyboardInterrupt())
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        fail(tmp_path / "new", OSError(28, "No space left on device"))
    assert (target / "manifest.json").read_text() == "old"
    assert names(tmp_path) == ["old.edgefeat"]


def test_a_bundle_is_replaced_only_if_told_to(tmp_path: Path) -> None:
    target = bundle(tmp_path / "b.edgefeat", "old", "tflite-int8.tflite", "golden.npz", "README.md", ".DS_Store")
    with pytest.raises(ArgumentError, match=r"already exists: .* --overwrite"), new_folder(target, overwrite=False):
        pass
    with new_folder(target, overwrite=True) as folder:
        (folder / "manifest.json").write_text("new")
    assert names(tmp_path) == ["b.edgefeat"]
    assert names(target) == ["manifest.json"]
    assert (target / "manifest.json").read_text() == "new"


@pytest.mark.parametrize("kind", ["file", "folder", "empty", "project", "dangling"])
def test_what_is_no_bundle_is_never_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "precious"
    if kind == "file":
        target.write_bytes(b"precious")
    elif kind == "dangling":
        target.symlink_to(tmp_path / "unplugged")
    elif kind == "project":  # a web page's or a browser extension's
        bundle(target, '{"name": "my extension"}', "README.md", "index.html")
    else:
        target.mkdir()
        if kind == "folder":
            (target / "thesis.tex").write_bytes(b"precious")
    before = names(tmp_path), names(target) if target.is_dir() else []
    with pytest.raises(ArgumentError, match="--overwrite replaces only bundles"):
        check_new_folder(target, overwrite=True)
    with pytest.raises(ArgumentError, match="precious already exists"):
        check_new_folder(target, overwrite=False)
    assert (names(tmp_path), names(target) if target.is_dir() else []) == before


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match="file is not a writable folder"):
        check_new_folder(tmp_path / "file" / "new.edgefeat", overwrite=False)


def test_pictures_are_known_by_their_ending_and_sorted_folder_by_folder(tmp_path: Path) -> None:
    for name in (
        "b.jpg",
        "a.JPEG",
        "A.webp",
        "saved from a browser.jfif",
        "stereo.MPO",
        "z.heic",
        "d/1.png",
        "d-e/0.bmp",
        "notes.txt",
        "jpg",
        ".b.jpg",
        ".t/x.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [os.path.relpath(path, tmp_path) for path in pictures_in(tmp_path)]
    below = [os.path.join("d", "1.png"), os.path.join("d-e", "0.bmp")]
    assert found == ["A.webp", "a.JPEG", "b.jpg", *below, "saved from a browser.jfif", "stereo.MPO", "z.heic"]
    errors: list[OSError] = []
    assert pictures_in(tmp_path / "nowhere", unlisted=errors.append) == []
    assert [error.filename for error in errors] == [str(tmp_path / "nowhere")]


def bundle(folder: Path, manifest: str, *others: str) -> Path:
    """A folder with the names that a bundle has."""
    folder.mkdir()
    (folder / "manifest.json").write_text(manifest)
    for name in others:
        (folder / name).touch()
    return folder
