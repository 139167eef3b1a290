"""The nearest photos in a database, for `POST /search`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from edgefeat._commands.neighbours.thumbnail import thumbnail
from edgefeat._commands.services.serve.http.uploads import busy
from edgefeat._errors import ArgumentError, PictureError, StoreError
from edgefeat._extractor import Extractor
from edgefeat._images.limits import Limits
from edgefeat._search.search import search
from edgefeat._store.reader import FeatureStore

__all__ = ["Found", "Neighbours", "Query"]

# Searches that wait. Each reads the whole database.
_PLACES = 8
_SIDE = 160
# Larger photos, except JPEGs, which libjpeg scales, are shown without a thumbnail.
_THUMBNAIL_LIMITS = Limits(2_000_000)


@dataclass(frozen=True, slots=True)
class Query:
    """A feature to search with, the number of photos wanted, the tap, and how many thumbnails to add."""

    feature: NDArray[np.float32]
    count: int
    tap: str | None
    thumbnails: int


@dataclass(frozen=True, slots=True)
class Found:
    """The nearest photos, each with `path`, `cosine` and perhaps `thumbnail`, the number of photos, and the time."""

    neighbours: list[dict[str, object]]
    photos: int
    milliseconds: float


class Neighbours:
    """Searches one database, one search at a time. The database may grow or be replaced meanwhile."""

    def __init__(self, database: Path, extractor: Extractor) -> None:
        self._database = database
        self._extractor = extractor
        self._turn = threading.Lock()
        self._waiting = 0
        self._ended = False

    def photos(self) -> int | None:
        """Return the number of photos in the database, or None if it cannot be read now."""
        try:
            with FeatureStore.open(self._database) as store:
                return len(store)
        except StoreError:
            return None

    async def nearest(self, query: Query) -> Found:
        """Return the nearest photos. Raises HTTPException: 400 for an unknown tap, 409, 503."""
        if self._waiting >= _PLACES:
            raise busy(f"{self._waiting} searches are waiting")
        self._waiting += 1
        try:
            return await self._in_thread(query)
        except StoreError as error:
            raise HTTPException(503, str(error), {"Retry-After": "5"}) from error
        except ArgumentError as error:
            raise HTTPException(400, str(error)) from error
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """Begin no further search. One that runs does not keep the process from ending."""
        self._ended = True

    def _in_thread(self, query: Query) -> asyncio.Future[Found]:
        """Search in a daemon thread: the end of the process would wait for an executor's, however long it takes."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Found] = loop.create_future()

        def give(found: Found | None, error: Exception | None) -> None:
            if answer.cancelled():
                return
            if error is not None:
                answer.set_exception(error)
            elif found is not None:
                answer.set_result(found)

        def work() -> None:
            found = error = None
            with self._turn:
                if self._ended:
                    return
                try:
                    found = self._found(query)
                except Exception as raised:  # noqa: BLE001  it is raised again where the answer is awaited
                    error = raised
            with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(give, found, error)

        threading.Thread(target=work, name="search", daemon=True).start()
        return answer

    def _found(self, query: Query) -> Found:
        begun = time.monotonic()
        with FeatureStore.open(self._database) as store:
            self._check_same(store)
            # Exact: an index would be stale, and built anew, whenever a photo is added.
            (nearest,) = search(store, query.feature.ravel(), query.count, tap=query.tap, index=False)
            photos = len(store)
        neighbours: list[dict[str, object]] = []
        for place, one in enumerate(nearest):
            shown = one.path.encode("utf-8", "backslashreplace").decode("utf-8")
            entry: dict[str, object] = {"path": shown, "cosine": round(one.cosine, 6)}
            if place < query.thumbnails and (image := _data_url(one.path)) is not None:
                entry["thumbnail"] = image
            neighbours.append(entry)
        return Found(neighbours, photos, 1000 * (time.monotonic() - begun))

    def _check_same(self, store: FeatureStore) -> None:
        """Raise HTTPException 409 if the database's features cannot be compared with the extractor's."""
        held, own = store.identity, self._extractor
        wanted = (own.bundle.identity, own.variant, own.engine, own.decoding)
        if (held.manifest_sha256, held.variant, held.engine, held.decoding) != wanted:
            raise HTTPException(
                409,
                f"{self._database} holds features of {held.bundle}, {held.variant} on {held.engine} ({held.decoding} "
                f"decoding), not of {own.bundle.manifest.name}, {own.variant} on {own.engine} ({own.decoding}): start "
                "the server again with that bundle",
            )


def _data_url(path: str) -> str | None:
    """Return a small JPEG of a photo of the database as a `data:` URL, or None if it cannot be read."""
    try:
        image = thumbnail(path, _SIDE, _THUMBNAIL_LIMITS)
    except (PictureError, OSError):
        return None
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
