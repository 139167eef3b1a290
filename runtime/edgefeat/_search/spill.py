"""A matrix in a temporary file, memory-mapped: limited by the disk, not by memory."""

from __future__ import annotations

import io
import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from edgefeat._errors import OutputError

__all__ = ["Spill", "spilled"]


class Spill:
    """Float32 rows of equal length in a file. First `add` all of them, then `open`, then read `rows`."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._map: mmap.mmap | None = None
        self._width = 0
        self.rows = np.zeros((0, 0), np.float32)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Append rows (n, D)."""
        data = np.ascontiguousarray(rows, np.float32).data.cast("B") if rows.size else memoryview(b"")
        self._width = rows.shape[1] if data else self._width
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as error:
            raise OutputError(
                f"the temporary folder {tempfile.gettempdir()} cannot hold the features: {error.strerror or error}; "
                "set TMPDIR to another folder"
            ) from error

    def open(self) -> None:
        """Map everything that was added as `rows`."""
        if self._width:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            self.rows = np.frombuffer(self._map, np.float32).reshape(-1, self._width)

    def take(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the rows at these places, read one by one: the map would load their neighbours too."""
        taken = np.empty((len(places), self._width), np.float32)
        for place, row in zip(places.tolist(), taken, strict=True):
            self._file.seek(place * row.nbytes)
            self._file.readinto(row.data)
        return taken

    def release(self) -> None:
        """Release the memory of what was read so far; it is loaded again when needed."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


@contextmanager
def spilled() -> Iterator[Spill]:
    """Create an empty Spill whose file is removed when the block ends."""
    with tempfile.TemporaryFile(prefix="edgefeat-", buffering=0) as file:
        yield Spill(file)
