"""`edgefeat extract --into`: rows that are right, added to and never mixed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.runtime.store.databases import end, events, rows

import edgefeat

Run = Callable[..., subprocess.CompletedProcess[str]]

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and files")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")


def test_rows_hold_the_features_the_facts_and_the_reasons(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    done = edgefeat_command("extract", one_tap, "in", "--into", "f.db")
    assert done.returncode == 1
    assert done.stdout.startswith("11 features by tflite-float32 on ") or done.stdout.startswith("11 features by ")
    assert "; 3 photos failed." in done.stdout
    assert sorted(line.partition(": ")[0] for line in done.stderr.splitlines()) == sorted(
        str(folder / name) for name in ("cut.png", "empty.jpg", "words.jpg")
    )
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        assert (len(store), store.failed) == (11, 3)
        bundle = edgefeat.Bundle.open(one_tap)
        assert store.identity.manifest_sha256 == bundle.identity
        assert Path(store.identity.place) == one_tap
        assert [(tap.name, tap.shape) for tap in store.taps] == [(tap.name, tap.shape) for tap in bundle.manifest.taps]
        ((paths, features),) = store.chunks()
        extractor = edgefeat.load(one_tap, variant=store.identity.variant, engine=store.identity.engine, threads=1)
        np.testing.assert_array_equal(features, np.stack([np.asarray(extractor.extract(path)) for path in paths]))
        assert paths == sorted(paths, key=os.fsencode)
        assert len(list(store.chunks(rows=4))) == 3
        np.testing.assert_array_equal(store.feature(paths[3]), features[3])
        assert store.feature("nowhere.png") is None
        reasons = {os.path.basename(photo.path): photo.error for photo in store.failures()}
        assert reasons["empty.jpg"] == "the file is empty"
        for photo in store.rows():
            data = Path(photo.path).read_bytes()
            assert (photo.size, photo.sha256) == (len(data), hashlib.sha256(data).hexdigest())
            assert photo.mtime_ns == os.stat(photo.path).st_mtime_ns
        (run,) = store.runs
        assert (run.edgefeat, run.engine_version) == (edgefeat.__version__, extractor.engine_version)
        assert run.ended is not None
    assert [path.name for path in tmp_path.glob("f.db*")] == ["f.db"]


def test_again_only_what_is_new_or_changed_is_computed(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    first = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json"))
    assert (first["computed"], first["failed"], first["unchanged"]) == (11, 3, 0)
    before = rows(tmp_path / "f.db")
    done = edgefeat_command("extract", one_tap, "in", "in/0.png", "--into", "f.db", "--json")
    assert done.returncode == 0
    again = end(done)
    assert (again["computed"], again["failed"], again["unchanged"], again["failed_before"]) == (0, 0, 11, 3)
    assert rows(tmp_path / "f.db") == before

    os.utime(folder / "0.png", ns=(1, 1))  # touched
    (folder / "2.png").rename(folder / "moved.png")  # moved: its old row stays
    shutil.copy2(folder / "4.png", folder / "copy.png")
    shutil.copy(folder / "6.png", folder / "8.png")  # changed
    Image.new("RGB", (50, 40)).save(folder / "new.png")
    (folder / "10.png").write_bytes(b"no picture any more")
    done = edgefeat_command("extract", one_tap, folder, "--into", "f.db", "--json")
    last = end(done)
    assert (last["computed"], last["moved"], last["failed"]) == (1, 4, 1)
    after = rows(tmp_path / "f.db")
    assert after.keys() == before.keys() | {str(folder / name) for name in ("moved.png", "copy.png", "new.png")}
    features = {os.path.basename(path): row[-1] for path, row in after.items()}
    old = {os.path.basename(path): row[-1] for path, row in before.items()}
    assert features["0.png"] == old["0.png"]
    assert features["moved.png"] == features["2.png"] == old["2.png"]
    assert features["copy.png"] == old["4.png"]
    assert features["8.png"] == features["6.png"] == old["6.png"] != old["8.png"]
    assert after[str(folder / "10.png")][3] == "failed"
    assert after[str(folder / "0.png")][1] == 1


def test_a_large_new_database_with_a_choice_that_nobody_made_is_told_of_tune(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path
) -> None:
    (tmp_path / "many").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "many" / "0.png")
    for index in range(1, 1000):
        shutil.copy(tmp_path / "many" / "0.png", tmp_path / "many" / f"{index}.png")
    advice = f"run: edgefeat tune {one_tap}\n"
    done = edgefeat_command("extract", one_tap, "many", "--into", "f.db")
    assert done.returncode == 0
    assert done.stderr.endswith(advice)
    for path in (tmp_path / "many").iterdir():
        Image.new("RGB", (41, 40)).save(path)
    assert edgefeat_command("extract", one_tap, "many", "--into", "f.db").stderr == ""  # its choice is made
    asked = ("--variant", edgefeat.load(one_tap).variant)
    assert edgefeat_command("extract", one_tap, "many", *asked, "--into", "g.db").stderr == ""
    assert edgefeat_command("extract", one_tap, "many/0.png", "--into", "h.db").stderr == ""


def test_a_rate_is_told_of_photos_that_were_done_alone(edgefeat_command: Run, one_tap: Path, folder: Path) -> None:
    (photo,) = folder.glob("0.png")
    for said in (r"1 feature by .* photos/s with 1 worker\n", r"0 features by .*; 1 unchanged\n"):
        done = edgefeat_command("extract", one_tap, photo, "--into", "f.db", "--workers", "9")
        assert done.returncode == 0
        assert re.fullmatch(said, done.stdout)


def test_what_failed_is_tried_again_when_it_changes_or_when_told_to(
    edgefeat_command: Run, one_tap: Path, folder: Path
) -> None:
    assert end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json"))["failed"] == 3
    Image.new("RGB", (50, 40)).save(folder / "empty.jpg")
    last = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json"))
    assert (last["computed"], last["failed"], last["failed_before"]) == (1, 0, 2)
    last = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json", "--retry-failed"))
    assert (last["computed"], last["failed"], last["unchanged"], last["failed_before"]) == (0, 2, 12, 0)


def test_a_photo_that_is_gone_keeps_its_row(edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path) -> None:
    edgefeat_command("extract", one_tap, "in", "--into", "f.db")
    before = rows(tmp_path / "f.db")
    gone = folder / "0.png"
    gone.unlink()
    done = edgefeat_command("extract", one_tap, "in", gone, "in/never.png", "--into", "f.db")
    assert done.returncode == 1
    assert done.stderr == f"{folder / 'never.png'}: no such file\n"
    after = rows(tmp_path / "f.db")
    assert {path: row for path, row in after.items() if path in before} == before


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 0.0), ("float16", 1e-3), ("int8", 1.0)])
def test_features_are_stored_as_exactly_as_asked(
    edgefeat_command: Run, two_taps: Path, folder: Path, tmp_path: Path, precision: str, tolerance: float
) -> None:
    edgefeat_command("extract", two_taps, "in", "--into", "f.db", "--precision", precision)
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        assert store.identity.precision == precision
        extractor = edgefeat.load(two_taps, variant=store.identity.variant, engine=store.identity.engine, threads=1)
        with pytest.raises(edgefeat.ArgumentError, match=r"several taps \(allowed: stem, inner.point\)"):
            list(store.chunks())
        for tap in ("stem", "inner.point"):
            ((paths, features),) = store.chunks(tap)
            for path, feature in zip(paths, features, strict=True):
                expected = extractor.extract(path)
                assert isinstance(expected, dict)
                exact = expected[tap]
                if precision == "int8":  # half a step of the row's own scale
                    tolerance = float(np.abs(exact).max()) / 127 / 2 * 1.001
                np.testing.assert_allclose(feature, exact, rtol=0, atol=tolerance)


def test_features_of_another_kind_are_refused_with_what_goes_on(
    edgefeat_command: Run, one_tap: Path, two_taps: Path, folder: Path, tmp_path: Path
) -> None:
    assert edgefeat_command("extract", one_tap, "in", "--into", "f.db").returncode == 1
    before = (tmp_path / "f.db").read_bytes()
    done = edgefeat_command("extract", two_taps, "in", "--into", "f.db")
    assert done.returncode == 2
    assert "f.db holds features of bundle tiny_last_32 (" in done.stderr
    assert done.stderr.endswith(
        f"continue with that bundle: edgefeat extract {one_tap} in --into f.db\n  see docs/reference/errors.md\n"
    )
    with edgefeat.FeatureStore.open(tmp_path / "f.db") as store:
        other = "int8" if store.identity.variant.endswith("float32") else "float32"
        variant = f"{store.identity.variant.partition('-')[0]}-{other}"
    for options, said in (
        (("--variant", variant), f"not {variant}: leave out --variant"),
        (("--precision", "int8"), "holds features of precision float32, not int8"),
        (("--exact",), "holds features of decoding fast, not exact: leave out --exact"),
        (("--engine", "openvino"), "not openvino: leave out --engine"),
    ):
        done = edgefeat_command("extract", one_tap, "in", "--into", "f.db", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
    assert (tmp_path / "f.db").read_bytes() == before


def test_a_file_that_is_no_feature_database_is_never_touched(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    import sqlite3

    (tmp_path / "text.db").write_text("precious words " * 100)
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE photos (path)")
    foreign.commit()
    foreign.close()
    for name in ("text.db", "foreign.db"):
        before = (tmp_path / name).read_bytes()
        done = edgefeat_command("extract", one_tap, "in", "--into", name)
        assert done.returncode == 1
        assert f"{name} is not a feature database" in done.stderr
        assert (tmp_path / name).read_bytes() == before
        with pytest.raises(edgefeat.StoreError, match="is not a feature database"):
            edgefeat.FeatureStore.open(tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--into", "nowhere/f.db"), "its folder does not exist"),
        (("--into", "in"), "or a folder has this name"),
        (("--into", "f.db", "-o", "f.npz"), "-o and --into cannot be combined"),
        (("--retry-failed",), "--retry-failed requires --into"),
        (("--workers", "2"), "--workers requires --into"),
        (("--into", "f.db", "--variant", "tflite-int4"), "variant 'tflite-int4' is not in bundle"),
        (("--into", "f.db", "--engine", "tpu"), "engine 'tpu' is unknown"),
        (("--into", "f.db", "--workers", "0"), "--workers"),
    ],
)
def test_wrong_use_leaves_nothing_behind(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = edgefeat_command("extract", one_tap, "in", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_empty_folder_makes_no_database(edgefeat_command: Run, one_tap: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    done = edgefeat_command("extract", one_tap, "bare", "--into", "f.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "edgefeat: no image in bare\n"
    assert [path.name for path in tmp_path.iterdir()] == ["bare"]


@posix_only
def test_odd_files_and_names_cost_a_row_each(
    edgefeat_command: Run, one_tap: Path, folder: Path, tmp_path: Path
) -> None:
    odd = os.fsdecode(b"caf\xe9\n,.png")
    shutil.copy(folder / "0.png", folder / odd)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "folder.jpg").mkdir()
    done = edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json")
    last = end(done)
    assert (last["computed"] + last["moved"], last["failed"]) == (12, 5)
    found = rows(tmp_path / "f.db")
    assert found[str(folder / odd)][-1] == found[str(folder / "0.png")][-1]
    assert found[str(folder / "pipe.jpg")][4] == "is a pipe or device, not a file"
    assert {event["path"] for event in events(done) if event["event"] == "failed"} == {
        path for path, row in found.items() if row[3] == "failed"
    }
    again = end(edgefeat_command("extract", one_tap, "in", "--into", "f.db", "--json"))
    assert (again["failed"], again["failed_before"]) == (0, 5)  # a pipe too is tried again only when told to
