"""Read arrays from the files of Keras, without building anything the file describes or running any code in it.

There are two kinds with the same suffixes. The older kind names layers and orders them (`layer_names`; in a whole model
below `model_weights`). The newer kind (`.weights.h5`, and inside `.keras`) has a group for each layer, named after its
class with a number, `layers/conv2d_3`.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from edgefeat import ExportError
from edgefeat._bundle.json_records import from_json, to_json

__all__ = ["LARGEST_EXPANSION", "SavedArray", "SavedLayer", "SavedLayers", "hdf5_attributes", "saved_layers"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_MEMBER = "model.weights.h5"
LARGEST_EXPANSION = 20  # arrays of real weights barely compress
_KINDS = "fiu"  # NumPy's letters for real numbers
_DEADLINE = 60.0  # seconds to list the content of a file; usually it takes one second


@dataclass(frozen=True, slots=True)
class SavedArray:
    """An array of the file, not yet read; `shape` is what the file declares: a few bytes can declare terabytes.

    `owner` is what its path names before it, a layer.
    """

    name: str
    shape: tuple[int, ...]
    dataset: Any
    owner: str = ""

    def read(self) -> NDArray[np.float32]:
        """Return the array. Raises ExportError if the file is damaged or the values are not finite real numbers.

        Check that `shape` is as expected before you call this.
        """
        try:
            if self.dataset.dtype.kind not in _KINDS:
                raise ExportError(f"array {self.name!r} contains {self.dataset.dtype} (allowed: real numbers)")
            array: NDArray[np.float32] = np.asarray(self.dataset[()], np.float32)
        except ExportError:
            raise
        except Exception as error:  # h5py raises many types for a damaged file
            raise ExportError(f"array {self.name!r} cannot be read: {error}") from error
        if not np.isfinite(array).all():
            raise ExportError(f"array {self.name!r} contains values that are not finite")
        return array


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """A layer of the file that has weights, by its own name or by its class and number."""

    name: str
    arrays: tuple[SavedArray, ...]


@dataclass(frozen=True, slots=True)
class SavedLayers:
    """The layers of a file that have weights: in the network's order, or named by class and number if `by_class`."""

    layers: tuple[SavedLayer, ...]
    by_class: bool


@dataclass(frozen=True, slots=True)
class _Listed:
    """A layer and the paths of its arrays."""

    name: str
    paths: tuple[str, ...]

    def __post_init__(self) -> None:
        for text in (self.name, *self.paths):
            text.encode()  # h5py decodes invalid UTF-8 to lone surrogates, which cannot be printed


@dataclass(frozen=True, slots=True)
class _Listing:
    """Like `SavedLayers`, with the paths of the arrays only."""

    layers: tuple[_Listed, ...]
    by_class: bool

    def with_weights(self) -> _Listing:
        """Return the listing without layers that have no weights."""
        return replace(self, layers=tuple(layer for layer in self.layers if layer.paths))


@contextmanager
def saved_layers(path: Path) -> Iterator[SavedLayers]:
    """Yield the layers of a `.h5`, `.weights.h5` or `.keras` file, whatever its suffix, while it is open.

    Raises ExportError for a file that is damaged, of another kind, or refers to other files.
    """
    listing = from_json(_Listing, _apart("list", path))
    with ExitStack() as stack:
        with _whole_file():
            file = stack.enter_context(h5py.File(_content(path), "r"))
            layers = tuple(
                SavedLayer(layer.name, tuple(_array(file, array) for array in layer.paths)) for layer in listing.layers
            )
        yield SavedLayers(layers, listing.by_class)


def hdf5_attributes(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Return the requested attributes that the root of the file has, as text.

    Raises ExportError for a file that is damaged, or that has a link or an array that refers to another file.
    """
    return dict(_apart("attributes", path, *names))


def _apart(task: str, path: Path, *names: str) -> dict[str, Any]:
    """Return the result of `task`, run in a separate process.

    HDF5 can hang, crash or read foreign memory on a damaged file.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, task, os.fspath(path), *names],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEADLINE,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"it is not a valid HDF5 file: HDF5 did not finish reading it in {_DEADLINE:g} s") from error
    if done.returncode < 0:
        raise ExportError(f"it is not a valid HDF5 file: HDF5 crashed on it, {signal.Signals(-done.returncode).name}")
    if done.returncode != 0:
        raise ExportError(f"it is not a valid HDF5 file: {(done.stderr.splitlines() or ['reason unknown'])[-1]}")
    said = json.loads(done.stdout)
    if "error" in said:
        raise ExportError(said["error"])
    return dict(said["found"])


def _attributes(path: Path, names: Sequence[str]) -> dict[str, str]:
    with _whole_file(), h5py.File(path, "r") as file:
        _check_links(file)
        values = {name: file.attrs[name] for name in names if name in file.attrs}
        return {name: _text(value) for name, value in values.items()}


def _check_links(group: h5py.Group) -> None:
    """Raise ExportError for a link or an array in the group that takes its content from elsewhere."""
    waiting, seen = [group], set()
    while waiting:
        group = waiting.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ExportError(f"its {name!r} is a link (allowed: arrays in the file itself)")
            item = group[name]
            place = h5py.h5o.get_info(item.id).addr
            if place in seen:
                continue
            seen.add(place)
            if isinstance(item, h5py.Group):
                waiting.append(item)
            elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise ExportError(f"its {name!r} takes its values from another file")


def _list(path: Path) -> _Listing:
    with _whole_file(), h5py.File(_content(path), "r") as file:
        home = "model_weights/" if _has(file, "model_weights") else ""
        names = _names(_group(file, home[:-1]) if home else file, "layer_names")
        if names:
            return _Listing(tuple(_named(file, home, name) for name in names), by_class=False).with_weights()
        for kind in ("layers", "_layer_checkpoint_dependencies"):  # the second in files of Keras 2.12 and 2.13
            if _has(file, kind):
                return _Listing(tuple(_by_class(file, kind, "")), by_class=True).with_weights()
    raise ExportError("it contains no weights of a Keras model")


@contextmanager
def _whole_file() -> Iterator[None]:
    """Convert any error of h5py to an ExportError that says the file is damaged."""
    try:
        yield
    except ExportError:
        raise
    except Exception as error:  # h5py raises many types
        raise ExportError(f"it is not a valid HDF5 file: {error}") from error


def _content(path: Path) -> Path | io.BytesIO:
    with path.open("rb") as stream:
        begin = stream.read(8)
    if begin == _HDF5:
        return path
    if begin.startswith(_ZIP):
        return _member(path)
    raise ExportError("it is neither an HDF5 file nor a .keras archive")


def _member(path: Path) -> io.BytesIO:
    """Return the weights in a `.keras` archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(_MEMBER)
            if info.file_size > LARGEST_EXPANSION * max(info.compress_size, 1):
                raise ExportError(f"it declares {info.file_size} bytes of weights in {info.compress_size}")
            return io.BytesIO(archive.read(info))
    except KeyError as error:
        raise ExportError(f"it is an archive without {_MEMBER}, so Keras did not write it as .keras") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ExportError(f"it is not a valid .keras archive: {error}") from error


def _named(file: h5py.File, home: str, name: str) -> _Listed:
    group = _group(file, home + name)
    return _Listed(name, tuple(f"{home}{name}/{array}" for array in _names(group, "weight_names")))


def _by_class(file: h5py.File, home: str, prefix: str) -> Iterator[_Listed]:
    """Yield the layers in the group `home`; layers of an inner model are named by path, `sequential/conv2d`."""
    for name in _group(file, home):
        path = f"{home}/{name}"
        layer = _group(file, path)
        arrays = _group(file, f"{path}/vars") if _has(layer, "vars") else ()
        in_order = sorted(arrays, key=lambda key: (int(key) if key.isdigit() else 1 << 30, key))
        yield _Listed(prefix + name, tuple(f"{path}/vars/{key}" for key in in_order))
        if _has(layer, "layers"):
            yield from _by_class(file, f"{path}/layers", f"{prefix}{name}/")


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return the names in an attribute, which is split into numbered pieces if it is too large for one."""
    pieces = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(pieces)}" in group.attrs:
        pieces.append(f"{attribute}{len(pieces)}")
    names = [name for piece in pieces for name in np.atleast_1d(group.attrs[piece])]
    return [_text(name) for name in names]


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _group(parent: h5py.Group, path: str) -> h5py.Group:
    group = _at(parent, path)
    if not isinstance(group, h5py.Group):
        raise ExportError(f"its {path!r} is not a group")
    return group


def _array(parent: h5py.Group, path: str) -> SavedArray:
    dataset = _at(parent, path)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ExportError(f"its {path!r} is not an array")
    if dataset.external or dataset.is_virtual:
        raise ExportError(f"its {path!r} takes its values from another file")
    *_, owner, name = ("", *path.split("/"))
    return SavedArray(name.partition(":")[0], tuple(dataset.shape), dataset, owner)


def _at(parent: h5py.Group, path: str) -> Any:
    """Return the object at `path`, by hard links only: other links can lead to any file of the machine."""
    for name in path.split("/"):
        if not isinstance(parent, h5py.Group) or not _has(parent, name):
            raise ExportError(f"it lacks {path!r}, which it lists")
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            raise ExportError(f"its {path!r} is a link (allowed: arrays in the file itself)")
        parent = parent[name]
    return parent


def _has(group: h5py.Group, name: str) -> bool:
    """Return whether the group has an object of that name, without following links."""
    return bool(name) and bool(group.id.links.exists(name.encode()))


def _main(task: str, path: str, *names: str) -> None:
    try:
        found = to_json(_list(Path(path))) if task == "list" else _attributes(Path(path), names)
        said: dict[str, Any] = {"found": found}
    except ExportError as error:
        said = {"error": str(error)}
    print(json.dumps(said))  # noqa: T201  read by `_apart`


if __name__ == "__main__":
    _main(*sys.argv[1:])
