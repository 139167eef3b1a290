"""Feature files: `.npz`, `.npy` with a JSON file of paths, `.csv`, `.jsonl`, `.parquet`, written atomically."""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.atomic_files import led_to, write_file, written_file
from edgefeat._store.output import check_output, pyarrow_modules

__all__ = ["FeatureRows", "FeatureTable", "write_features"]


class FeatureRows(Protocol):
    """The features of any number of photos from one bundle."""

    @property
    def bundle(self) -> str:
        """The bundle's name and SHA-256."""

    @property
    def variant(self) -> str:
        """The variant that computed them."""

    @property
    def engine(self) -> str:
        """The engine that ran it."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one photo's feature, by tap."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def tables(self) -> Iterator[tuple[list[str], dict[str, NDArray[np.float32]]]]:
        """Yield a few rows at a time: paths, and features (n, *shape) by tap. Every call yields the same rows."""


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """The features of several images: by tap (N, *shape) float32; row i belongs to `paths[i]`."""

    paths: list[str]
    features: dict[str, NDArray[np.float32]]
    bundle: str
    variant: str
    engine: str

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of one photo's feature, by tap."""
        return {tap: feature.shape[1:] for tap, feature in self.features.items()}

    def __len__(self) -> int:
        return len(self.paths)

    def tables(self) -> Iterator[tuple[list[str], dict[str, NDArray[np.float32]]]]:
        """Yield all rows at once."""
        yield self.paths, self.features


def write_features(rows: FeatureRows, path: str | os.PathLike[str]) -> list[Path]:
    """Write features to `path` in the format of its file extension, and return the files written.

    Existing files are replaced atomically. Only a few rows are in memory at a time. Raises the errors of
    `check_output`, and OutputError if the disk is full or fails.
    """
    check_output(path, rows.shapes)
    target = Path(path)
    return _WRITERS[target.suffix.lower()](rows, target)


def _columns(rows: FeatureRows) -> dict[str, str]:
    """Return the tap of each output column: `features` with one tap, `features/<tap>` with several."""
    taps = list(rows.shapes)
    return {"features": taps[0]} if len(taps) == 1 else {f"features/{tap}": tap for tap in taps}


def _write_npz(rows: FeatureRows, path: Path) -> list[Path]:
    longest = max((len(name) for names, _ in rows.tables() for name in names), default=1)
    unicode = np.dtype(f"<U{longest}")  # loses only trailing NULs, which no path has
    # Not np.savez: NumPy 1 leaves its archive open when the disk is full, and Python then prints a second error.
    with written_file(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        with _member(archive, "paths", (len(rows),), unicode) as member:
            for names, _ in rows.tables():
                member.write(np.array(names, unicode).tobytes())
        for column, tap in _columns(rows).items():
            with _member(archive, column, (len(rows), *rows.shapes[tap]), np.dtype("<f4")) as member:
                for _, features in rows.tables():
                    member.write(np.ascontiguousarray(features[tap], "<f4").data.cast("B"))
        for name in ("bundle", "variant", "engine"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.array(getattr(rows, name)), allow_pickle=False)
    return [path]


@contextmanager
def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[IO[bytes]]:
    """Open a `.npy` file in an archive, with the header written."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        _write_header(member, shape, dtype)
        yield member


def _write_header(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)


def _write_npy(rows: FeatureRows, path: Path) -> list[Path]:
    ((tap, shape),) = rows.shapes.items()
    sidecar = led_to(path).with_suffix(".paths.json")  # beside the array, also where `path` is a link
    with written_file(path) as stream, written_file(sidecar) as names:
        # Not np.save: on a full disk its only message is "2560 requested and 480 written".
        _write_header(stream, (len(rows), *shape), np.dtype("<f4"))
        between = b"[\n"
        for paths, features in rows.tables():
            stream.write(np.ascontiguousarray(features[tap], "<f4").data)
            for name in paths:
                names.write(between + json.dumps(name).encode("ascii"))
                between = b",\n"
        names.write(b"\n]" if len(rows) else b"[]")
        stream.flush()  # a full disk is detected here, before either file is replaced
        names.flush()
    return [path, sidecar]


def _readable(path: str) -> str:
    """Return the path as text that any program reads: a byte of its name that is not UTF-8 becomes such as \\xff."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _write_csv(rows: FeatureRows, path: Path) -> list[Path]:
    import csv

    sizes = {column: math.prod(rows.shapes[tap]) for column, tap in _columns(rows).items()}

    def write(stream: BinaryIO) -> None:
        text = io.TextIOWrapper(stream, "utf-8", newline="")
        writer = csv.writer(text)
        prefix = {name: name.removeprefix("features/").replace("features", "f") for name in sizes}
        writer.writerow(["path", *(f"{prefix[name]}{i}" for name, size in sizes.items() for i in range(size))])
        for names, features in rows.tables():
            flat = [features[tap].reshape(len(names), -1) for tap in rows.shapes]
            for row, name in enumerate(names):
                writer.writerow(
                    [_readable(name), *(repr(value) for feature in flat for value in feature[row].tolist())]
                )
        text.flush()
        text.detach()

    write_file(path, write)
    return [path]


def _write_jsonl(rows: FeatureRows, path: Path) -> list[Path]:
    columns = _columns(rows)

    def write(stream: BinaryIO) -> None:
        for names, features in rows.tables():
            for row, name in enumerate(names):
                record = {"path": name, **{column: features[tap][row].tolist() for column, tap in columns.items()}}
                stream.write(json.dumps(record).encode("ascii") + b"\n")

    write_file(path, write)
    return [path]


def _write_parquet(rows: FeatureRows, path: Path) -> list[Path]:
    pyarrow, parquet = pyarrow_modules()
    sizes = {column: math.prod(rows.shapes[tap]) for column, tap in _columns(rows).items()}
    lists = {column: pyarrow.list_(pyarrow.float32(), size) for column, size in sizes.items()}
    about = {"bundle": rows.bundle, "variant": rows.variant, "engine": rows.engine}
    schema = pyarrow.schema([("path", pyarrow.string()), *lists.items()], metadata=about)

    def write(stream: BinaryIO) -> None:
        with parquet.ParquetWriter(stream, schema) as writer:
            for paths, features in rows.tables():
                arrays = [pyarrow.array([*map(_readable, paths)], pyarrow.string())]
                for column, tap in _columns(rows).items():
                    values = pyarrow.array(features[tap].ravel(), pyarrow.float32())
                    arrays.append(pyarrow.FixedSizeListArray.from_arrays(values, sizes[column]))
                writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

    write_file(path, write)
    return [path]


_WRITERS: dict[str, Callable[[FeatureRows, Path], list[Path]]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
