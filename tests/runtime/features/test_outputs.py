"""The files that `edgefeat extract` writes: what is in each format, and that they appear whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import edgefeat

Run = Callable[..., subprocess.CompletedProcess[str]]
SUFFIXES = ("npz", "npy", "csv", "jsonl", "parquet")


@pytest.fixture
def odd_names(tmp_path: Path, photos: list[str]) -> list[str]:
    """Relative paths with all that a file name may hold, one of them twice, in no sorted order."""
    names = ["zebra.png", "with space.png", 'comma, "quoted".png', "ünïcode 写真.png", "-dash.png"]
    if sys.platform == "linux":
        names += ["new\nline.png", "return\rhere.png", os.fsdecode(b"caf\xe9.png")]
    for index, name in enumerate(names):
        (tmp_path / name).write_bytes(Path(photos[index % len(photos)]).read_bytes())
    return [*names[1:4], names[0], *names[4:], "./zebra.png", names[0]]


@pytest.fixture
def expected(one_tap: Path, tmp_path: Path, odd_names: list[str]) -> NDArray[np.float32]:
    features = edgefeat.load(one_tap).extract([tmp_path / name for name in odd_names])
    assert isinstance(features, np.ndarray)
    return features


def test_npz_has_the_paths_as_given_the_features_and_what_made_them(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, odd_names: list[str], expected: NDArray[np.float32]
) -> None:
    done = edgefeat_command("extract", one_tap, "--", *odd_names)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "features.npz", allow_pickle=False) as arrays:
        assert list(arrays) == ["paths", "features", "bundle", "variant", "engine"]
        assert arrays["paths"].dtype.kind == "U"
        assert arrays["paths"].tolist() == odd_names
        assert arrays["features"].dtype == np.float32
        np.testing.assert_allclose(arrays["features"], expected, atol=1e-6)
        bundle = edgefeat.Bundle.open(one_tap)
        assert str(arrays["bundle"]) == f"{bundle.manifest.name} sha256:{bundle.identity}"
        extractor = edgefeat.load(bundle)
        assert (str(arrays["variant"]), str(arrays["engine"])) == (extractor.variant, extractor.engine)


def test_npz_has_an_array_for_each_of_several_taps(
    edgefeat_command: Run, two_taps: Path, tmp_path: Path, photos: list[str]
) -> None:
    assert edgefeat_command("extract", two_taps, *photos, "-o", "both.NPZ").returncode == 0
    expected = edgefeat.load(two_taps).extract(photos)
    assert isinstance(expected, dict)
    with np.load(tmp_path / "both.NPZ") as arrays:
        assert list(arrays)[1:3] == ["features/stem", "features/inner.point"]
        for tap, feature in expected.items():
            np.testing.assert_allclose(arrays[f"features/{tap}"], feature, atol=1e-6)


def test_npy_has_the_features_and_a_file_beside_it_the_paths(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, odd_names: list[str], expected: NDArray[np.float32]
) -> None:
    done = edgefeat_command("extract", one_tap, "-o", "out.v1.npy", "--", *odd_names)
    assert done.stdout.endswith(" in out.v1.npy and out.v1.paths.json\n")
    features = np.load(tmp_path / "out.v1.npy", allow_pickle=False)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=1e-6)
    assert json.loads((tmp_path / "out.v1.paths.json").read_text()) == odd_names


def test_csv_has_a_row_for_each_picture(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, odd_names: list[str], expected: NDArray[np.float32]
) -> None:
    assert edgefeat_command("extract", one_tap, "-o", "out.csv", "--", *odd_names).returncode == 0
    text = (tmp_path / "out.csv").read_bytes().decode("utf-8")  # any program reads it, whatever the names
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    assert header == ["path", *(f"f{index}" for index in range(16))]
    assert [row[0].encode() for row in rows] == [os.fsencode(name).replace(b"f\xe9", b"f\\xe9") for name in odd_names]
    read = np.array([row[1:] for row in rows], np.float64).astype(np.float32)
    np.testing.assert_allclose(read, expected, atol=1e-6)


def test_csv_columns_of_several_taps_are_named_after_them(
    edgefeat_command: Run, two_taps: Path, tmp_path: Path, photos: list[str]
) -> None:
    assert edgefeat_command("extract", two_taps, photos[0], "-o", "out.csv").returncode == 0
    header = (tmp_path / "out.csv").read_text().splitlines()[0].split(",")
    assert header == [
        "path",
        *(f"stem{index}" for index in range(8)),
        *(f"inner.point{index}" for index in range(16)),
    ]


def test_jsonl_has_an_object_for_each_picture(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, odd_names: list[str], expected: NDArray[np.float32]
) -> None:
    assert edgefeat_command("extract", one_tap, "-o", "out.jsonl", "--", *odd_names).returncode == 0
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().split(b"\n")[:-1]]
    assert [list(record) for record in records] == [["path", "features"]] * len(odd_names)
    assert [record["path"] for record in records] == odd_names
    np.testing.assert_allclose([record["features"] for record in records], expected, atol=1e-6)


def test_parquet_has_a_column_of_paths_and_one_of_features(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, odd_names: list[str], expected: NDArray[np.float32]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert edgefeat_command("extract", one_tap, "-o", "out.parquet", "--", *odd_names).returncode == 0
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["path", "features"]
    assert table["path"].to_pylist() == [name.replace("\udce9", "\\xe9") for name in odd_names]
    np.testing.assert_allclose(np.array(table["features"].to_pylist()), expected, atol=1e-6)
    assert {b"bundle", b"variant", b"engine"} <= set(table.schema.metadata)


def test_parquet_without_pyarrow_names_the_command_that_brings_it(
    edgefeat_command: Run, one_tap: Path, photos: list[str]
) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        done = edgefeat_command("extract", one_tap, photos[0], "-o", "out.parquet")
        assert done.returncode == 1
        said = "edgefeat: Parquet requires another package: pip install pyarrow\n  see docs/install.md\n"
        assert done.stderr.endswith(said)
    else:
        pytest.skip("pyarrow is installed")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_existing_file_is_replaced(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str], suffix: str
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    output = tmp_path / f"out.{suffix}"
    output.write_bytes(b"old")
    assert edgefeat_command("extract", one_tap, *photos, "-o", output).returncode == 0
    assert len(output.read_bytes()) > 3
    beside = {"out.paths.json"} if suffix == "npy" else set()
    assert {path.name for path in tmp_path.iterdir()} == {output.name} | beside


def test_a_link_stays_and_its_file_is_replaced(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str]
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "link.npz").symlink_to("disk/real.npz")  # dangling at first
    for count in (1, 2):
        assert edgefeat_command("extract", one_tap, *photos[:count], "-o", "link.npz").returncode == 0
        with np.load(disk / "real.npz") as arrays:
            assert len(arrays["features"]) == count
        assert (tmp_path / "link.npz").is_symlink()
    assert [path.name for path in disk.iterdir()] == ["real.npz"]
    (tmp_path / "full.csv").symlink_to("/dev/full")
    done = edgefeat_command("extract", one_tap, photos[0], "-o", "full.csv")
    assert done.returncode == 2  # before the work
    assert "it is no plain file but a folder, a device or a pipe" in done.stderr
    (tmp_path / "names.npy").symlink_to("disk/real.npy")
    assert edgefeat_command("extract", one_tap, photos[0], "-o", "names.npy").returncode == 0
    assert (disk / "real.paths.json").is_file()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str], suffix: str
) -> None:
    resource = pytest.importorskip("resource", reason="only POSIX can limit the size of files")
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    old = {f"out.{suffix}": b"old"} | ({"out.paths.json": b"old paths"} if suffix == "npy" else {})
    for name, data in old.items():
        (tmp_path / name).write_bytes(data)
    done = edgefeat_command(
        "extract",
        one_tap,
        *photos,
        "-o",
        f"out.{suffix}",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 1
    assert f"edgefeat: out.{suffix} cannot be written: " in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("features.txt", r"allowed: .npz, .npy, .csv, .jsonl, .parquet"),
        ("features", "unknown file extension"),
        ("nowhere/features.npz", "its folder does not exist"),
        ("folder.npz", "or it is no plain file but a folder, a device or a pipe"),
        ("two.npy", "holds one tap, the bundle has stem, inner.point: use .npz"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_work(
    edgefeat_command: Run, two_taps: Path, tmp_path: Path, output: str, reason: str
) -> None:
    (tmp_path / "folder.npz").mkdir()
    done = edgefeat_command("extract", two_taps, "missing.png", "-o", output)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "missing.png" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path, photos: list[str]
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    done = edgefeat_command("extract", one_tap, *photos, "-o", "locked/out.npz")
    assert done.returncode == 2
    assert "locked cannot be written" in done.stderr
