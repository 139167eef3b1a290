"""`edgefeat convert`: a database of any precision becomes each kind of file, a few rows at a time."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import edgefeat
from edgefeat._store.encoding import encode
from edgefeat._store.records import Photo, StoreIdentity, StoreTap, Versions
from edgefeat._store.writer import StoreWriter

Run = Callable[..., subprocess.CompletedProcess[str]]

COUNT = 5000  # more than twice as many as are in memory at a time
ODD = "/photos/caf\udce9, \u00e9\u20ac \U0001f600.jpg"


def write(path: Path, taps: tuple[StoreTap, ...], precision: str = "float32", count: int = COUNT) -> None:
    """A database of random features; every hundredth photo failed, and one name is odd."""
    writer, _ = StoreWriter.open(path)
    identity = StoreIdentity("demo", "/nowhere", "ab" * 32, "onnx-int8", "onnxruntime", "fast", precision, taps)  # type: ignore[arg-type]
    writer.begin(identity, Versions("1", "2", "3"))
    random = np.random.default_rng(3)
    for number in range(count):
        name = ODD if number == 7 else f"/photos/{(number * 7919) % count:05d}.jpg"
        if number % 100 == 99:
            writer.put(Photo(name, 1, 2, None, "failed", "the file is empty", writer.run), b"", b"")
            continue
        scales, data = encode([random.standard_normal(tap.shape).astype(np.float32) for tap in taps], precision)  # type: ignore[arg-type]
        writer.put(Photo(name, number, 2, f"{number:064x}", "ok", None, writer.run), scales, data)
    writer.close()


@pytest.fixture(scope="module", params=["float32", "int8"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stores") / f"{request.param}.db"
    write(path, (StoreTap("features", (6,)),), request.param)
    return path


def content(database: Path) -> tuple[list[str], NDArray[np.float32]]:
    with edgefeat.FeatureStore.open(database) as store:
        chunks = list(store.chunks())
    return [path for paths, _ in chunks for path in paths], np.concatenate([features for _, features in chunks])


def test_every_format_has_the_same_rows(edgefeat_command: Run, database: Path, tmp_path: Path) -> None:
    paths, features = content(database)
    assert len(paths) == COUNT - COUNT // 100
    assert ODD in paths
    for name in ("f.npz", "f.npy", "f.csv", "f.jsonl"):
        done = edgefeat_command("convert", database, name)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("4950 features in f.")
        assert done.stdout.endswith("; left out: 50 failed photos\n")
    with np.load(tmp_path / "f.npz") as arrays:
        assert arrays["paths"].tolist() == paths
        np.testing.assert_array_equal(arrays["features"], features)
        assert str(arrays["bundle"]) == f"demo sha256:{'ab' * 32}"
        assert (str(arrays["variant"]), str(arrays["engine"])) == ("onnx-int8", "onnxruntime")
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy", mmap_mode="r"), features)
    assert json.loads((tmp_path / "f.paths.json").read_text()) == paths
    with open(tmp_path / "f.csv", encoding="utf-8", newline="") as stream:
        header, *lines = csv.reader(stream)
    assert header == ["path", *(f"f{index}" for index in range(6))]
    assert [line[0] for line in lines] == [path.replace("\udce9", "\\xe9") for path in paths]
    np.testing.assert_array_equal(np.array([line[1:] for line in lines], np.float32), features)
    records = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert [record["path"] for record in records] == paths
    np.testing.assert_array_equal(np.array([record["features"] for record in records], np.float32), features)


def test_parquet_has_the_same_rows_in_several_groups(edgefeat_command: Run, database: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    paths, features = content(database)
    done = edgefeat_command("convert", database, "f.parquet", "--json")
    assert json.loads(done.stdout) == {"rows": 4950, "failed": 50, "files": ["f.parquet"]}
    file = parquet.ParquetFile(tmp_path / "f.parquet")
    assert file.num_row_groups == 3
    table = file.read()
    assert table["path"].to_pylist() == [path.replace("\udce9", "\\xe9") for path in paths]
    np.testing.assert_array_equal(np.array(table["features"].to_pylist(), np.float32), features)


def test_parquet_without_pyarrow_names_the_command_that_brings_it(edgefeat_command: Run, database: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        done = edgefeat_command("convert", database, "f.parquet")
        assert done.returncode == 1
        assert done.stderr == "edgefeat: Parquet requires another package: pip install pyarrow\n  see docs/install.md\n"
    else:
        pytest.skip("pyarrow is installed")


def test_several_taps_keep_their_shapes(edgefeat_command: Run, tmp_path: Path) -> None:
    write(tmp_path / "two.db", (StoreTap("map", (2, 3, 4)), StoreTap("pooled", (5,))), "int8", 30)
    assert edgefeat_command("convert", "two.db", "f.npz").returncode == 0
    with edgefeat.FeatureStore.open(tmp_path / "two.db") as store, np.load(tmp_path / "f.npz") as arrays:
        assert arrays["features/map"].shape == (30, 2, 3, 4)
        assert arrays["features/pooled"].shape == (30, 5)
        ((_, flat),) = store.chunks("map")
        np.testing.assert_array_equal(arrays["features/map"].reshape(30, -1), flat)
        ((_, pooled),) = store.chunks("pooled")
        np.testing.assert_array_equal(arrays["features/pooled"], pooled)
    done = edgefeat_command("convert", "two.db", "f.npy")
    assert done.returncode == 2
    assert "holds one tap, the bundle has map, pooled: use .npz" in done.stderr


def test_a_database_without_features_becomes_a_file_without_rows(
    edgefeat_command: Run, one_tap: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    assert edgefeat_command("extract", one_tap, "broken.jpg", "--into", "none.db").returncode == 1
    for name in ("f.npz", "f.npy", "f.csv", "f.jsonl"):
        assert edgefeat_command("convert", "none.db", name).stdout.startswith("0 features in f.")
    with edgefeat.FeatureStore.open(tmp_path / "none.db") as store:
        assert np.load(tmp_path / "f.npy").shape == (0, *store.taps[0].shape)
    assert json.loads((tmp_path / "f.paths.json").read_text()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("nowhere.db", "f.npz"), 1, "'nowhere.db' does not exist; create one with: edgefeat extract --into"),
        ((".", "f.npz"), 1, "is a folder"),
        (("words.db", "f.npz"), 1, "words.db is not a feature database"),
        (("f.db", "f.txt"), 2, "allowed: .npz, .npy, .csv, .jsonl, .parquet"),
        (("f.db", "nowhere/f.npz"), 2, "its folder does not exist"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(
    edgefeat_command: Run, tmp_path: Path, arguments: tuple[str, str], status: int, said: str
) -> None:
    write(tmp_path / "f.db", (StoreTap("features", (6,)),), count=3)
    (tmp_path / "words.db").write_text("words " * 1000)
    done = edgefeat_command("convert", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["f.db", "words.db"]


def test_a_full_disk_leaves_the_old_file(edgefeat_command: Run, database: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="only POSIX can limit the size of files")
    for name in ("f.npz", "f.npy", "f.csv", "f.jsonl"):
        (tmp_path / name).write_bytes(b"old")
        done = edgefeat_command(
            "convert",
            database,
            name,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 1
        assert done.stderr.startswith("edgefeat: f.")
        assert done.stderr.endswith(" cannot be written: File too large\n  see docs/reference/errors.md\n")
        assert (tmp_path / name).read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 4


def test_stored_values_are_as_near_as_their_precision(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    feature = (random.standard_normal(1000) * 3).astype(np.float32)
    for precision, tolerance in (("float32", 0.0), ("float16", 0.005), ("int8", np.abs(feature).max() / 254 * 1.001)):
        writer, _ = StoreWriter.open(tmp_path / f"{precision}.db")
        taps = (StoreTap("a", (1000,)), StoreTap("b", (1000,)))
        identity = StoreIdentity("demo", "/nowhere", "0" * 64, "onnx-int8", "onnxruntime", "exact", precision, taps)  # type: ignore[arg-type]
        writer.begin(identity, Versions("1", "2", "3"))
        scales, data = encode([feature, np.zeros(1000, np.float32)], precision)  # type: ignore[arg-type]
        writer.put(Photo("/a", 1, 1, "00" * 32, "ok", None, 1), scales, data)
        writer.close()
        with edgefeat.FeatureStore.open(tmp_path / f"{precision}.db") as store:
            assert store.identity == identity
            stored = store.feature("/a", "a")
            assert stored is not None
            np.testing.assert_allclose(stored, feature, rtol=0, atol=tolerance)
            np.testing.assert_array_equal(store.feature("/a", "b"), np.zeros(1000))


def test_what_a_precision_cannot_hold_is_refused() -> None:
    for value, precision, said in (
        (np.nan, "int8", "not finite"),
        (np.inf, "float32", "not finite"),
        (7e4, "float16", "use float32"),
    ):
        with pytest.raises(edgefeat.EngineError, match=said):
            encode([np.array([1.0, value], np.float32)], precision)  # type: ignore[arg-type]
