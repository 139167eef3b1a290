"""`edgefeat.ray.Extractor`: batches in, batches out; and the example, which loses a machine on the way."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.conftest import LONG

import edgefeat
from edgefeat.ray import Extractor

EXAMPLE = Path(__file__).parents[3] / "examples" / "ray_cluster.py"


@pytest.fixture
def batch(photos: list[str]) -> dict[str, Any]:
    """As `ray.data.read_binary_files` gives them: encoded files, of which the second is cut."""
    data = [Path(photo).read_bytes() for photo in photos]
    data[1] = data[1][:70]
    return {"bytes": np.array(data, object), "path": np.array(photos, object)}


def test_a_batch_of_numpy_gets_columns(one_tap: Path, batch: dict[str, Any], photos: list[str]) -> None:
    extractor = Extractor(one_tap)
    rows = extractor(batch)
    assert list(rows) == ["path", "features", "error", "origin"]
    assert rows["features"].shape == (4, 16)
    assert rows["features"].dtype == np.float32
    plain = edgefeat.load(one_tap, threads=1)
    expected = plain.extract([photos[0], *photos[2:]])
    np.testing.assert_array_equal(rows["features"][[0, 2, 3]], expected)
    assert np.isnan(rows["features"][1]).all()
    assert [error is None for error in rows["error"]] == [True, False, True, True]
    assert "cannot be decoded" in rows["error"][1]
    manifest = plain.bundle.manifest.name
    assert set(rows["origin"]) == {f"{manifest} sha256:{plain.bundle.identity} {plain.variant} {plain.engine}"}
    assert extractor({"bytes": np.array([], object)})["features"].shape == (0, 16)


def test_paths_and_arrays_are_pictures_too(one_tap: Path, photos: list[str]) -> None:
    options = {"features": "vector", "error": "why", "origin": "by", "keep_picture": True}
    rows = Extractor(one_tap, picture="path", **options)({"path": np.array([*photos, "none.png"])})  # type: ignore[arg-type]
    assert list(rows) == ["path", "vector", "why", "by"]
    assert rows["why"].tolist() == [None] * 4 + ["no such file"]
    frames = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), np.uint8)
    rows = Extractor(one_tap, picture="image")({"image": frames})
    np.testing.assert_array_equal(rows["features"], edgefeat.load(one_tap, threads=1).extract(frames))


def test_the_limits_are_those_of_load(one_tap: Path, photos: list[str]) -> None:
    data = Path(photos[0]).read_bytes()[:-100]
    batch = {"bytes": np.array([data], object)}
    assert "truncated" in Extractor(one_tap)(batch)["error"][0]
    assert Extractor(one_tap, least_share=0.01)(batch)["error"][0] is None
    assert "allowed: 100)" in Extractor(one_tap, max_pixels=100)(batch)["error"][0]


def test_several_taps_have_a_column_each(two_taps: Path, photos: list[str]) -> None:
    rows = Extractor(two_taps, picture="path")({"path": np.array(photos)})
    expected = edgefeat.load(two_taps, threads=1).extract(photos)
    assert isinstance(expected, dict)
    for tap, feature in expected.items():
        np.testing.assert_array_equal(rows[f"features/{tap}"], feature.reshape(len(photos), -1))


def test_a_table_of_arrow_gets_lists_of_one_length_and_nulls(one_tap: Path, batch: dict[str, Any]) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    extractor = Extractor(one_tap)
    table: Any = extractor(pyarrow.table({name: values.tolist() for name, values in batch.items()}))
    assert table.column_names == ["path", "features", "error", "origin"]
    assert table.schema.field("features").type == pyarrow.list_(pyarrow.float32(), 16)
    rows = extractor(batch)
    assert table["error"].to_pylist() == rows["error"].tolist()
    assert table["features"].to_pylist() == [None if row[0] != row[0] else row for row in rows["features"].tolist()]
    nothing: Any = extractor(pyarrow.table({"bytes": pyarrow.array([], pyarrow.binary())}))
    assert nothing.num_rows == 0
    assert nothing.schema == table.drop_columns(["path"]).schema
    null: Any = extractor(pyarrow.table({"bytes": pyarrow.array([None], pyarrow.binary())}))
    assert "cannot be read from NoneType" in null["error"][0].as_py()


def test_a_batch_without_pictures_or_with_these_columns_already_is_refused(
    one_tap: Path, batch: dict[str, Any]
) -> None:
    with pytest.raises(edgefeat.ArgumentError, match="two new columns are named 'origin'"):
        Extractor(one_tap, error="origin")
    with pytest.raises(edgefeat.ArgumentError, match="two new columns are named 'error'"):
        Extractor(one_tap, features="error")
    with pytest.raises(edgefeat.ArgumentError, match=r"no column 'image' \(it has: bytes, path\)"):
        Extractor(one_tap, picture="image")(batch)
    for name in ("features", "error", "origin"):
        with pytest.raises(edgefeat.ArgumentError, match=f"has a column '{name}' already"):
            Extractor(one_tap)({**batch, name: batch["path"]})
    with pytest.raises(edgefeat.ArgumentError, match=r"a batch of list cannot be read \(allowed: batch_format="):
        Extractor(one_tap)([1])


@LONG
@pytest.mark.skipif(not EXAMPLE.is_file(), reason="the examples are not part of the wheel")
def test_a_cluster_that_loses_a_machine_loses_and_doubles_no_row(one_tap: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray.data", reason="the extra ray is not installed")
    import pyarrow.parquet

    random = np.random.default_rng(8)
    (tmp_path / "photos").mkdir()
    paths = [tmp_path / "photos" / f"{number:03d}.png" for number in range(240)]
    for path in paths:
        Image.fromarray(random.integers(0, 256, (60, 80, 3), np.uint8)).save(path)
    paths[7].write_bytes(paths[7].read_bytes()[:100])
    command = [
        sys.executable,
        str(EXAMPLE),
        str(one_tap),
        str(tmp_path / "photos"),
        str(tmp_path / "out"),
        "--lose-one",
    ]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        command, check=False, capture_output=True, encoding="utf-8", errors="replace", timeout=300, env=environment
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (count,) = re.findall(r"^machine \w+ was lost when (\d+) photos were done$", done.stdout, flags=re.MULTILINE)
    assert 0 < int(count) < 240
    assert done.stdout.splitlines()[-1] == "240 rows, 1 of them unreadable, 0 doubled"

    table = pyarrow.parquet.read_table(tmp_path / "out").sort_by("path")
    assert table["path"].to_pylist() == [str(path) for path in paths]
    assert [row for row, error in enumerate(table["error"].to_pylist()) if error is not None] == [7]
    rows = table["features"].to_pylist()
    assert rows[7] is None
    expected = edgefeat.load(one_tap).extract([str(path) for path in paths[:7] + paths[8:]])
    np.testing.assert_allclose(rows[:7] + rows[8:], np.asarray(expected), atol=1e-6)
