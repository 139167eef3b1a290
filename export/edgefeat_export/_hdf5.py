"""The arrays in the files of Keras, read as arrays: nothing that a file describes is built, and no code in it is run.

There are two kinds, which Keras gives the same suffixes: the older one names layers and orders them (`layer_names`; in
a whole model below `model_weights`), the newer one (`.weights.h5`, and inside `.keras`) has a group for each layer by
its class and the number of its like before it, `layers/conv2d_3`.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from edgefeat import ExportError

__all__ = ["SavedArray", "SavedLayer", "SavedLayers", "saved_layers"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_MEMBER = "model.weights.h5"
_LARGEST_EXPANSION = 20  # arrays of real weights hardly compress at all
_KINDS = "fiu"  # NumPy's letters for real numbers
_DEADLINE = 60.0  # seconds to list what is in a file, which takes one


@dataclass(frozen=True, slots=True)
class SavedArray:
    """An array of the file, not yet read; `shape` is what the file declares, which may be terabytes in a few bytes."""

    name: str
    shape: tuple[int, ...]
    dataset: Any

    def read(self) -> NDArray[np.float32]:
        """The array. Raises ExportError where the file is broken or the values are no finite real numbers.

        To be called where `shape` is as expected.
        """
        try:
            if self.dataset.dtype.kind not in _KINDS:
                raise ExportError(f"array {self.name!r} holds {self.dataset.dtype} (allowed: real numbers)")
            array: NDArray[np.float32] = np.asarray(self.dataset[()], np.float32)
        except ExportError:
            raise
        except Exception as error:  # h5py raises many kinds for a damaged file
            raise ExportError(f"array {self.name!r} cannot be read: {error}") from error
        if not np.isfinite(array).all():
            raise ExportError(f"array {self.name!r} holds values that are not finite")
        return array


@dataclass(frozen=True, slots=True)
class SavedLayer:
    """A layer of the file that has weights, under its own name or that of its class and number."""

    name: str
    arrays: tuple[SavedArray, ...]


@dataclass(frozen=True, slots=True)
class SavedLayers:
    """The layers with weights of a file; in the network's order, unless `by_class` says how they are named."""

    layers: tuple[SavedLayer, ...]
    by_class: bool


@contextmanager
def saved_layers(path: Path) -> Iterator[SavedLayers]:
    """What is in a `.h5`, `.weights.h5` or `.keras` file, whatever its suffix, while it is open.

    Raises ExportError for a file that is broken, of another kind, or refers to other files.
    """
    content = _content(path)
    if content == path:
        _try_apart(path)
    with ExitStack() as stack:
        try:
            found = _found(stack.enter_context(h5py.File(content, "r")))
        except ExportError:
            raise
        except Exception as error:  # h5py raises many kinds for a damaged file
            raise ExportError(f"it is not a whole HDF5 file: {error}") from error
        yield found


def _try_apart(path: Path) -> None:
    """Lists the file in another process first: over a damaged heap of names HDF5 never ends, over others it dies."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, os.fspath(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEADLINE,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"it is not a whole HDF5 file: HDF5 is not done with it in {_DEADLINE:g} s") from error
    if done.returncode < 0:
        raise ExportError(f"it is not a whole HDF5 file: HDF5 dies of it, {signal.Signals(-done.returncode).name}")


def _content(path: Path) -> Path | io.BytesIO:
    with path.open("rb") as stream:
        begin = stream.read(8)
    if begin == _HDF5:
        return path
    if begin.startswith(_ZIP):
        return _member(path)
    raise ExportError("it is neither an HDF5 file nor a .keras archive")


def _member(path: Path) -> io.BytesIO:
    """The weights in a `.keras` archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(_MEMBER)
            if info.file_size > _LARGEST_EXPANSION * max(info.compress_size, 1):
                raise ExportError(f"it declares {info.file_size} bytes of weights in {info.compress_size}")
            return io.BytesIO(archive.read(info))
    except KeyError as error:
        raise ExportError(f"it is an archive without {_MEMBER}, so Keras did not write it as .keras") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ExportError(f"it is not a whole .keras archive: {error}") from error


def _found(file: h5py.File) -> SavedLayers:
    named = _group(file, "model_weights") if _has(file, "model_weights") else file
    names = _names(named, "layer_names")
    if names:
        layers = tuple(_named_layer(named, name) for name in names)
        return SavedLayers(tuple(layer for layer in layers if layer.arrays), by_class=False)
    for home in ("layers", "_layer_checkpoint_dependencies"):  # the second in files of Keras 2.12 and 2.13
        if _has(file, home):
            classes = _group(file, home)
            layers = tuple(_class_layer(_group(classes, name), name) for name in classes)
            return SavedLayers(tuple(layer for layer in layers if layer.arrays), by_class=True)
    raise ExportError("it holds no weights of a Keras model")


def _named_layer(parent: h5py.Group, name: str) -> SavedLayer:
    group = _group(parent, name)
    return SavedLayer(name, tuple(_array(group, array) for array in _names(group, "weight_names")))


def _class_layer(group: h5py.Group, name: str) -> SavedLayer:
    if not _has(group, "vars"):
        return SavedLayer(name, ())
    arrays = _group(group, "vars")
    return SavedLayer(name, tuple(_array(arrays, key) for key in sorted(arrays, key=_number)))


def _number(key: str) -> tuple[int, str]:
    return (int(key) if key.isdigit() else 1 << 30, key)


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """The names in an attribute, which is in numbered pieces where it was too large for one."""
    pieces = [attribute] if attribute in group.attrs else []
    while f"{attribute}{len(pieces)}" in group.attrs:
        pieces.append(f"{attribute}{len(pieces)}")
    names = [name for piece in pieces for name in np.atleast_1d(group.attrs[piece])]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _group(parent: h5py.Group, path: str) -> h5py.Group:
    group = _at(parent, path)
    if not isinstance(group, h5py.Group):
        raise ExportError(f"its {path!r} is no group")
    return group


def _array(parent: h5py.Group, path: str) -> SavedArray:
    dataset = _at(parent, path)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ExportError(f"its {path!r} is no array")
    if dataset.external or dataset.is_virtual:
        raise ExportError(f"its {path!r} takes its values from another file")
    return SavedArray(path.rpartition("/")[2].partition(":")[0], tuple(dataset.shape), dataset)


def _at(parent: h5py.Group, path: str) -> Any:
    """What is at `path`, by hard links alone: the others can lead to any file of the machine."""
    for name in path.split("/"):
        if not isinstance(parent, h5py.Group) or not _has(parent, name):
            raise ExportError(f"it lacks {path!r}, which it lists")
        if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
            raise ExportError(f"its {path!r} is a link (allowed: arrays in the file itself)")
        parent = parent[name]
    return parent


def _has(group: h5py.Group, name: str) -> bool:
    """Whether there is something of that name, without following it where it is a link."""
    return bool(name) and bool(group.id.links.exists(name.encode()))


if __name__ == "__main__":
    with h5py.File(sys.argv[1], "r") as tried:
        _found(tried)
