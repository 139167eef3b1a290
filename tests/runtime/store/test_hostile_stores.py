"""Databases that no edgefeat wrote, though their checksums are right: refused in a sentence, nothing of them used."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edgefeat
from edgefeat._store.encoding import encode
from edgefeat._store.records import Photo, StoreIdentity, StoreTap, Versions
from edgefeat._store.writer import StoreWriter

Run = Callable[..., subprocess.CompletedProcess[str]]


def forged(database: Path, *, precision: str = "float32", data: bytes | None = None, size: object = 4) -> Path:
    """A database of one photo and 4 values, with one thing that is written as it stands."""
    writer, _ = StoreWriter.open(database)
    taps = (StoreTap("features", (4,)),)
    writer.begin(
        StoreIdentity("demo", "/nowhere", "ab" * 32, "onnx-int8", "onnxruntime", "fast", precision, taps),  # type: ignore[arg-type]
        Versions("1", "2", "3"),
    )
    scales, written = encode([np.ones(4, np.float32)], precision)  # type: ignore[arg-type]
    if precision == "int8":
        scales = b""
    writer.put(Photo("/a.jpg", size, 2, "0" * 64, "ok", None, writer.run), scales, data or written)  # type: ignore[arg-type]
    writer.close()
    return database


def altered(database: Path, statement: str, *values: object) -> Path:
    connection = sqlite3.connect(database)
    connection.execute(statement, values)
    connection.commit()
    connection.close()
    return database


def everything(database: Path) -> None:
    """All that is read of a database."""
    with edgefeat.FeatureStore.open(database) as store:
        list(store.rows())
        list(store.paths())
        list(store.chunks())
        edgefeat.search(store, np.ones(4, np.float32))
        edgefeat.duplicates(store)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_damage(tmp_path: Path, value: float) -> None:
    database = forged(tmp_path / "f.db", data=np.array([1, 2, value, 4], "<f4").tobytes())
    with pytest.raises(edgefeat.StoreError, match=r"the row of /a.jpg is damaged"):
        everything(database)


def test_scales_that_are_missing_are_damage(tmp_path: Path) -> None:
    with pytest.raises(edgefeat.StoreError, match=r"the row of /a.jpg is damaged"):
        everything(forged(tmp_path / "f.db", precision="int8"))


def test_columns_of_another_type_are_damage(tmp_path: Path, edgefeat_command: Run) -> None:
    with pytest.raises(edgefeat.StoreError, match=r"the row of '/a.jpg' is damaged"):
        everything(forged(tmp_path / "size.db", size="large"))
    database = altered(forged(tmp_path / "path.db"), "UPDATE photos SET path = 5")
    with pytest.raises(edgefeat.StoreError, match=r"the row of 5 is damaged"):
        everything(database)
    done = edgefeat_command("convert", database, "f.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("edgefeat: ")


@pytest.mark.parametrize(
    ("taps", "said"),
    [
        ("[]", "no taps"),
        ('[{"name": "a", "shape": []}]', "shape"),
        ('[{"name": "a", "shape": [-4]}]', "shape"),
        ('[{"name": "a", "shape": [99999, 99999]}]', "shape"),
        ('[{"name": "../../x", "shape": [2]}, {"name": "b", "shape": [2]}]', "'../../x'"),
        ('[{"name": "a", "shape": [2]}, {"name": "a", "shape": [2]}]', "twice"),
        ("[" * 100_000, "nested"),
    ],
)
def test_taps_that_no_bundle_has_are_refused(tmp_path: Path, edgefeat_command: Run, taps: str, said: str) -> None:
    database = altered(forged(tmp_path / "f.db"), "UPDATE about SET value = ? WHERE key = 'taps'", taps)
    done = edgefeat_command("convert", database, "f.npz")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"edgefeat: {database}: its identity cannot be read: ")
    assert said in done.stderr
    assert not (tmp_path / "f.npz").exists()


def test_names_do_not_reach_the_terminal_as_commands(tmp_path: Path, edgefeat_command: Run) -> None:
    database = forged(tmp_path / "f.db")
    with edgefeat.FeatureStore.open(database) as store:
        identity = store.identity
    writer, _ = StoreWriter.open(database)
    writer.begin(identity, Versions("1", "2", "3"))
    scales, data = encode([np.ones(4, np.float32)], "float32")
    writer.put(Photo("/\x1b]0;owned\x07\n.jpg", 4, 2, "1" * 64, "ok", None, writer.run), scales, data)
    writer.close()
    done = edgefeat_command("duplicates", database)
    assert "/\\x1b]0;owned\\x07\\x0a.jpg" in done.stdout
    assert not {"\x1b", "\x07"} & set(done.stdout)
    groups = json.loads(edgefeat_command("duplicates", database, "--json").stdout)["groups"]
    assert {one["path"] for one in groups[0]} == {"/a.jpg", "/\x1b]0;owned\x07\n.jpg"}
