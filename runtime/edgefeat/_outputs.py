"""Features on disk: `.npz`, `.npy` with a sidecar of paths, `.csv`, `.jsonl`, `.parquet`; whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import ArgumentError, MissingExtraError
from edgefeat._files import write_file, written_file

__all__ = ["OUTPUT_SUFFIXES", "FeatureTable", "check_output", "write_features"]


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Features of several pictures: `features` has for each tap (N, *shape) float32, row i for `paths[i]`."""

    paths: list[str]
    features: dict[str, NDArray[np.float32]]
    bundle: str
    variant: str
    engine: str

    def columns(self) -> dict[str, NDArray[np.float32]]:
        """The features by output name: `features` alone, or `features/<tap>` where there are several taps."""
        if len(self.features) == 1:
            return {"features": next(iter(self.features.values()))}
        return {f"features/{tap}": feature for tap, feature in self.features.items()}


def check_output(path: str | os.PathLike[str], taps: Collection[str]) -> None:
    """Raises ArgumentError or MissingExtraError now rather than after an hour's work."""
    target = Path(path)
    folder = target.absolute().parent
    if target.suffix.lower() not in _WRITERS:
        raise ArgumentError(f"output {str(path)!r} has an unknown ending (allowed: {', '.join(OUTPUT_SUFFIXES)})")
    if target.is_dir() or not folder.is_dir():
        raise ArgumentError(f"output {str(path)!r} cannot be a file: its folder does not exist or it is one itself")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ArgumentError(f"output {str(path)!r} cannot be made: {folder} cannot be written")
    if target.suffix.lower() == ".npy" and len(taps) > 1:
        raise ArgumentError(f"a .npy file holds one tap, the bundle has {', '.join(taps)}: use .npz")
    if target.suffix.lower() == ".parquet":
        _pyarrow()


def write_features(table: FeatureTable, path: str | os.PathLike[str]) -> list[Path]:
    """The files written for `path`, whose ending picks the format; existing ones are replaced in one step.

    Raises what `check_output` does, and OutputError where the disk is full or fails.
    """
    check_output(path, table.features)
    target = Path(path)
    return _WRITERS[target.suffix.lower()](table, target)


def _write_npz(table: FeatureTable, path: Path) -> list[Path]:
    arrays: dict[str, NDArray[Any]] = {
        "paths": _unicode(table.paths),
        **table.columns(),
        "bundle": np.array(table.bundle),
        "variant": np.array(table.variant),
        "engine": np.array(table.engine),
    }
    # Not np.savez: NumPy 1 leaves its archive open when the disk is full, and Python then prints a second failure.
    with written_file(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return [path]


def _write_npy(table: FeatureTable, path: Path) -> list[Path]:
    (features,) = table.columns().values()
    sidecar = path.with_suffix(".paths.json")
    with written_file(path) as stream, written_file(sidecar) as names:
        # Not np.save: given a real file, it tells that the disk is full only as "2560 requested and 480 written".
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(features))
        stream.write(np.ascontiguousarray(features).data)
        stream.flush()  # a full disk is met here, before either file has been replaced
        names.write(json.dumps(table.paths, indent=0).encode("ascii"))
    return [path, sidecar]


def _write_csv(table: FeatureTable, path: Path) -> list[Path]:
    flat = {name: feature.reshape(len(feature), -1) for name, feature in table.columns().items()}

    def write(stream: BinaryIO) -> None:
        # surrogateescape gives a path that is not UTF-8 back as the bytes it is
        text = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline="")
        writer = csv.writer(text)
        prefix = {name: name.removeprefix("features/").replace("features", "f") for name in flat}
        writer.writerow(["path", *(f"{prefix[n]}{i}" for n, f in flat.items() for i in range(f.shape[1]))])
        for row, name in enumerate(table.paths):
            writer.writerow([name, *(repr(float(value)) for f in flat.values() for value in f[row])])
        text.flush()
        text.detach()

    write_file(path, write)
    return [path]


def _write_jsonl(table: FeatureTable, path: Path) -> list[Path]:
    columns = table.columns()

    def write(stream: BinaryIO) -> None:
        for row, name in enumerate(table.paths):
            record = {"path": name, **{column: feature[row].tolist() for column, feature in columns.items()}}
            stream.write(json.dumps(record).encode("ascii") + b"\n")

    write_file(path, write)
    return [path]


def _write_parquet(table: FeatureTable, path: Path) -> list[Path]:
    pyarrow, parquet = _pyarrow()
    names = [name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name in table.paths]
    arrays = {"path": pyarrow.array(names, pyarrow.string())}
    for column, feature in table.columns().items():
        flat = feature.reshape(len(feature), -1)
        arrays[column] = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat.ravel()), flat.shape[1])
    about = {"bundle": table.bundle, "variant": table.variant, "engine": table.engine}
    rows = pyarrow.table(arrays).replace_schema_metadata(about)
    write_file(path, lambda stream: parquet.write_table(rows, stream))
    return [path]


def _pyarrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("Parquet needs one more package: pip install pyarrow") from None
    return pyarrow, pyarrow.parquet


def _unicode(paths: list[str]) -> NDArray[np.str_]:
    """NumPy's unicode drops nothing but trailing NULs, which no path has."""
    return np.array(paths, dtype=np.str_) if paths else np.zeros(0, "U1")


_WRITERS: dict[str, Callable[[FeatureTable, Path], list[Path]]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".parquet": _write_parquet,
}
OUTPUT_SUFFIXES = tuple(_WRITERS)
