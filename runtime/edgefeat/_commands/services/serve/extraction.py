"""The queue of photos and the threads that extract their features."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgefeat._commands.services.serve.http.uploads import busy
from edgefeat._engines.device.memory import trim_heap
from edgefeat._engines.selection import default_threads
from edgefeat._errors import EdgefeatError, EngineError, PictureError
from edgefeat._extractor import Extractor
from edgefeat._images.limits import OversizeError

__all__ = ["Extracted", "Extraction"]

# Photos of up to this many decoded pixels, 8 MB, are decoded side by side. Of larger ones one is decoded at a time.
_SMALL_PIXELS = 2_000_000
# A thread that is busy with one photo for longer than this is stuck.
_STUCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Extracted:
    """The features of one photo by tap, in the bundle's order, and where the time went, in milliseconds.

    `share` is below 1 for a truncated photo.
    """

    features: list[NDArray[np.float32]]
    share: float
    waited: float
    prepared: float
    run: float


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why there is no feature. Not the exception itself, whose traceback keeps the photo in memory."""

    kind: type[EdgefeatError]
    reason: str


class _Job:
    """A photo in the queue. `data` is given up when the photo has been decoded."""

    __slots__ = ("answer", "data", "is_wanted", "queued")

    def __init__(self, data: bytes, answer: asyncio.Future[Extracted | _Failure]) -> None:
        self.data = data
        self.answer = answer
        self.is_wanted = True
        self.queued = time.monotonic()


class Extraction:
    """Extracts features in threads, at most `places` photos waiting. Its methods belong to the event loop's thread."""

    def __init__(self, extractor: Extractor, places: int) -> None:
        self._extractor = extractor
        limits = extractor.limits
        self._small = replace(limits, max_pixels=min(_SMALL_PIXELS, limits.max_pixels))
        self._places = places
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # As many threads decode as `Extractor.stream` uses, while one more runs the engine.
        self._count = default_threads() + 1
        self._slots = _Slots(self._count)
        self._begun: dict[int, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.pending = 0

    def start(self) -> None:
        """Start the threads. Call it in the event loop."""
        self._loop = asyncio.get_running_loop()
        for number in range(self._count):
            threading.Thread(target=self._work, args=(number,), name=f"extract-{number}", daemon=True).start()

    def stop(self) -> None:
        """End the threads after the photos that wait."""
        for _ in range(self._count):
            self._jobs.put(None)

    @property
    def is_stuck(self) -> bool:
        """Whether every thread has been busy with one photo for a minute."""
        now, begun = time.monotonic(), [*self._begun.values()]  # the threads change it meanwhile
        return len(begun) == self._count and all(now - one > _STUCK_SECONDS for one in begun)

    @property
    def width(self) -> int:
        """How many photos are processed at a time."""
        return self._count

    def check_room(self) -> None:
        """Raise HTTPException 503 if the queue is full."""
        if self.pending >= self._places + self._count:
            raise busy(f"{self.pending} photos are waiting (allowed: {self._places})")

    async def extract(self, data: bytes) -> Extracted:
        """Return the features of an encoded photo. Raises PictureError and EngineError."""
        job = _Job(data, asyncio.get_running_loop().create_future())
        del data
        self.pending += 1
        job.answer.add_done_callback(self._answered)
        self._jobs.put(job)
        try:
            answer = await job.answer
        finally:
            job.is_wanted = False
            job.data = b""
            del job
        if isinstance(answer, _Failure):
            raise answer.kind(answer.reason)
        return answer

    def _answered(self, answer: asyncio.Future[Extracted | _Failure]) -> None:
        self.pending -= 1

    def _work(self, number: int) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.is_wanted:  # the server is stopping
                continue
            self._begun[number] = begun = time.monotonic()
            try:
                self._reply(job.answer, self._extracted(job, begun))
            finally:
                del self._begun[number]
            del job

    def _extracted(self, job: _Job, begun: float) -> Extracted | _Failure:
        try:
            return self._run(job, begun)
        except PictureError as error:
            return _Failure(PictureError, str(error))
        except EdgefeatError as error:
            return _Failure(EngineError, str(error))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this photo's alone
            return _Failure(EngineError, f"the photo could not be processed: {error!r}")

    def _run(self, job: _Job, begun: float) -> Extracted:
        picture, share = self._prepared(job)
        prepared = time.monotonic()
        features = [rows[0] for rows in self._extractor.run(picture[np.newaxis])]
        times = (begun - job.queued, prepared - begun, time.monotonic() - prepared)
        return Extracted(features, share, *(1000 * seconds for seconds in times))

    def _prepared(self, job: _Job) -> tuple[NDArray[np.uint8], float]:
        data, job.data = job.data, b""  # freed with this call
        threads = 1 if self.pending > 1 else None
        try:
            with self._slots.one():
                return self._extractor.prepare_with_share(data, threads=threads, limits=self._small)
        except OversizeError:
            with self._slots.all():
                trim_heap()  # of the small photos before it
                return self._extractor.prepare_with_share(data, threads=threads)

    def _reply(self, answer: asyncio.Future[Extracted | _Failure], result: Extracted | _Failure) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(lambda: None if answer.done() else answer.set_result(result))
        except RuntimeError:  # the loop was closed: nobody waits any more
            return


class _Slots:
    """So many places to decode: a small photo takes one, a large one all of them."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = count
        self._changed = threading.Condition()
        self._large = threading.Lock()

    def one(self) -> _Taken:
        return _Taken(self, 1)

    def all(self) -> _Taken:
        return _Taken(self, self._count)

    def take(self, wanted: int) -> None:
        # A large photo holds the lock while it waits, so that small ones queue behind it.
        with self._large, self._changed:
            self._changed.wait_for(lambda: self._free >= wanted)
            self._free -= wanted

    def give(self, taken: int) -> None:
        with self._changed:
            self._free += taken
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class _Taken:
    slots: _Slots
    wanted: int

    def __enter__(self) -> None:
        self.slots.take(self.wanted)

    def __exit__(self, *_: object) -> None:
        self.slots.give(self.wanted)
