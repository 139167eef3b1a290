"""An approximate index of a feature database, stored beside it in `features.db.index/`.

about.json     what it indexes; it is stale when the database's content differs
vectors        the usearch graph with int8 vectors, memory-mapped
paths, ends    the concatenated paths, and where each ends (int64)
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgefeat._bundle.atomic_files import umask
from edgefeat._bundle.json_records import to_json
from edgefeat._errors import MissingExtraError, OutputError
from edgefeat._search.progress_bar import bar
from edgefeat._search.ranking import CHUNK, Neighbour, check_queries, unit
from edgefeat._store.reader import FeatureStore
from edgefeat._version import install_command

__all__ = ["Index"]

_FORM = 2
_NAMES = frozenset({"about.json", "vectors", "paths", "ends"})
# Attempts to put an index in place or open it while other processes replace it.
_TRIES = 20
# Candidates requested for each result, then ranked by exact cosines: int8 confuses near ones.
_SPARE = 4
_LEAST_ASKED = 64
# The search width of the graph; tests and documentation have its recall.
_EXPANSION = 256
# The first photos are added by one thread: several threads that start a graph leave unreachable vectors.
_ALONE = 1024
# A build that has not written for this long was killed.
_LEFT_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Index:
    """The index of one tap of `store`, created by `of`."""

    store: FeatureStore
    tap: str
    graph: Any
    paths: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, store: FeatureStore, tap: str | None = None, *, progress: bool = False) -> Index:
        """Open the index beside `store`, building it first if it is missing or the database has changed.

        Building takes about D + 900 bytes of memory a photo. Raises MissingExtraError, and OutputError if the
        database's folder cannot be written.
        """
        name = tap if tap is not None else store.taps[0].name
        usearch = _usearch()
        about, folder = _described(store, name), place(store)
        with _as_output_errors(store):
            for _ in range(_TRIES):
                if not _is_of(folder, about):
                    _build(usearch, store, name, folder, about, progress)
                with contextlib.suppress(FileNotFoundError):  # another process is replacing it
                    ends = np.fromfile(folder / "ends", np.int64)
                    paths = np.memmap(folder / "paths", np.uint8, "r") if len(ends) else np.zeros(0, np.uint8)
                    graph = _opened(usearch, folder / "vectors")
                    if graph is not None:
                        return cls(store, name, graph, paths, ends)
                    (folder / "about.json").unlink()  # damaged: build it again
        raise OutputError(f"the index beside {store.path} keeps being replaced or damaged; search exactly with --exact")

    def search(self, queries: NDArray[np.float32], count: int) -> list[list[Neighbour]]:
        """Return about `count` nearest photos for each row of `queries`, by exact cosine, nearest first."""
        wanted = unit(queries)
        if not len(self.graph):
            return [[] for _ in wanted]
        check_queries(queries, self.graph.ndim)
        asked = min(len(self.ends), max(_LEAST_ASKED, _SPARE * count))
        self.graph.expansion_search = max(_EXPANSION, asked)
        return [self._nearest(query, self.graph.search(_int8(query), asked).keys.tolist(), count) for query in wanted]

    def _nearest(self, query: NDArray[np.float32], places: list[int], count: int) -> list[Neighbour]:
        paths = [self._path(place) for place in sorted(places)]
        found = [(path, feature) for path in paths if (feature := self.store.feature(path, self.tap)) is not None]
        if not found:
            return []
        cosines = np.clip(unit(np.stack([feature for _, feature in found])) @ query, -1, 1)
        order = np.argsort(-cosines, kind="stable")[:count].tolist()
        return [Neighbour(found[one][0], float(cosines[one])) for one in order]

    def _path(self, place: int) -> str:
        start = int(self.ends[place - 1]) if place else 0
        return os.fsdecode(self.paths[start : int(self.ends[place])].tobytes())


def place(store: FeatureStore) -> Path:
    """Return the folder of the index of `store`."""
    return store.path.with_name(f"{store.path.name}.index")


def _opened(usearch: Any, vectors: Path) -> Any:
    """Return the memory-mapped graph, or None if the file is not valid."""
    try:
        return usearch.Index.restore(str(vectors), view=True)
    except (ValueError, RuntimeError):
        return None


def _build(usearch: Any, store: FeatureStore, tap: str, folder: Path, about: dict[str, Any], progress: bool) -> None:
    _check_own(folder)
    _sweep(folder)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with open(temporary / "paths", "wb") as paths, open(temporary / "ends", "wb") as ends:
            graph = _graph(usearch, store, tap, paths, ends, progress)
        graph.save(str(temporary / "vectors"))
        written = {**about, "files": _facts(temporary)}
        (temporary / "about.json").write_text(json.dumps(written), encoding="utf-8")
        os.chmod(temporary, 0o777 & ~umask())  # readable for everyone who may read the database
        for name in _NAMES:
            with open(temporary / name, "r+b") as stream:  # Windows syncs only what may be written
                os.fsync(stream.fileno())
        _replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_own(folder: Path) -> None:
    """Raise OutputError if the folder has files that are not an index's, as it would be replaced."""
    try:
        others = sorted({one.name for one in folder.iterdir()} - _NAMES)
    except FileNotFoundError:
        return
    if others:
        raise OutputError(
            f"{folder} is for the index but contains {others[0]!r}: move that away, or search exactly with --exact"
        )


def _replace(temporary: Path, folder: Path) -> None:
    """Replace a folder with another. If several builds do so at once, the last one wins."""
    for attempt in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            os.rename(temporary, folder)
        except OSError as error:
            # Windows returns EACCES if another process has a file of the folder open.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES) or attempt == _TRIES - 1:
                raise
        else:
            return


def _sweep(folder: Path) -> None:
    """Remove what killed builds have left. Files of a running build have a recent modification time."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*"):
        with contextlib.suppress(FileNotFoundError):  # its build has just ended
            touched = max(one.stat().st_mtime for one in (left, *left.iterdir()))
            if time.time() - touched > _LEFT_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _graph(usearch: Any, store: FeatureStore, tap: str, paths: BinaryIO, ends: BinaryIO, progress: bool) -> Any:
    (size,) = (int(np.prod(one.shape)) for one in store.taps if one.name == tap)
    graph = usearch.Index(ndim=size, metric="cos", dtype="i8", enable_key_lookups=False)
    first = end = 0
    with bar(len(store), "building the index", "photo", show=progress) as shown:
        for names, features in store.chunks(tap, rows=CHUNK):
            full = features.any(axis=1)  # usearch treats zero vectors as close to everything
            if full.any():
                places = np.flatnonzero(full).astype(np.uint64) + np.uint64(first)
                graph.add(places, _int8(unit(features[full])), threads=0 if len(graph) >= _ALONE else 1)
            encoded = [os.fsencode(name) for name in names]
            lengths = np.cumsum([len(name) for name in encoded], dtype=np.int64) + end
            first, end = first + len(names), int(lengths[-1])
            paths.write(b"".join(encoded))
            ends.write(lengths.tobytes())
            shown.update(len(names))
    return graph


def _int8(features: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return vectors as int8, each scaled by its own largest value: usearch's common scale is coarser."""
    largest = np.abs(features).max(axis=-1, keepdims=True)
    return np.asarray(np.rint(features * (127 / np.where(largest == 0, 1, largest))), np.int8)


def _described(store: FeatureStore, tap: str) -> dict[str, Any]:
    """Return what the index describes. The rows' checksums are included, so that any change makes it stale."""
    from edgefeat._store.schema import as_store_errors, connect

    with as_store_errors(store.path), contextlib.closing(connect(store.path, "ro")) as connection:
        rows = connection.execute("SELECT count(*), sum(crc32), max(id) FROM photos WHERE status = 'ok'").fetchone()
    identity = {**to_json(store.identity), "place": ""}
    return {"form": _FORM, "tap": tap, "rows": list(rows), "identity": json.loads(json.dumps(identity))}


def _facts(folder: Path) -> dict[str, int]:
    """Return what detects damaged files. For the vectors this is the size only, as they are not read."""
    checksums = {name: _checksum(folder / name) for name in ("paths", "ends")}
    return {"vectors": (folder / "vectors").stat().st_size, **checksums}


def _checksum(path: Path) -> int:
    value = 0
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            value = zlib.crc32(piece, value)
    return value


def _is_of(folder: Path, about: dict[str, Any]) -> bool:
    try:
        written = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        return bool(written == {**about, "files": _facts(folder)})
    except (FileNotFoundError, ValueError):
        return False


@contextlib.contextmanager
def _as_output_errors(store: FeatureStore) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the index beside {store.path} cannot be written: {error.strerror or error}; search exactly with --exact"
        ) from error


def _usearch() -> Any:
    try:
        import usearch.index
    except ImportError:
        raise MissingExtraError(
            f"an index requires another package: {install_command('index')} (or search exactly with --exact)"
        ) from None
    return usearch.index
