"""The server's process: sockets, event loop, signals, service manager."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn

from edgefeat._commands.services.process import allow_files, give_memory_back
from edgefeat._commands.services.serve.application import Application
from edgefeat._commands.services.serve.extraction import Extraction
from edgefeat._commands.services.serve.http.access import Access
from edgefeat._commands.services.serve.http.connections import Connections
from edgefeat._commands.services.serve.http.uploads import Uploads
from edgefeat._commands.services.serve.metrics import Metrics
from edgefeat._commands.services.serve.neighbours import Neighbours
from edgefeat._commands.services.serve.routes import Service
from edgefeat._commands.services.serve.settings import ServeSettings
from edgefeat._commands.services.serve.sockets import address, close, listening
from edgefeat._commands.services.systemd import ServiceManager
from edgefeat._errors import ArgumentError, StoreError
from edgefeat._extractor import Extractor, load
from edgefeat._search.query_extractor import extractor_for
from edgefeat._store.reader import FeatureStore
from edgefeat._store.schema import is_in_use
from edgefeat._version import __version__

__all__ = ["serve"]

_BACKLOG = 128
# Files that the process has open beside connections: the bundle, the engine's, the database.
_OTHER_FILES = 64
# How long a thread that decodes may keep the event loop from running.
_SWITCH_SECONDS = 0.001
_TICKS_A_SECOND = 10


def serve(settings: ServeSettings, tell: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM, then stop gracefully within 5 s. Return the exit status.

    `tell` logs a line. Raises the errors of `load`, ArgumentError for an address or a token file that is not valid, and
    OutputError if the address is in use.
    """
    give_memory_back()
    allow_files(settings.limits.connections + _OTHER_FILES)
    sys.setswitchinterval(_SWITCH_SECONDS)
    access = Access.of(settings)
    extractor = _loaded(settings, tell)
    sockets = listening(settings)
    try:
        server = _Server(settings, access, extractor, tell)
        where = address(settings, sockets)
        manifest = extractor.bundle.manifest
        tell(f"{manifest.name}, {extractor.variant} on {extractor.engine} ({extractor.reason})")
        if settings.open:
            tell(f"warning: everyone who can reach {where} can use this server (--open)")
        server.where = where
        with asyncio.Runner(loop_factory=_new_event_loop()) as runner:
            runner.run(server.serve(sockets=sockets))
    finally:
        close(settings, sockets)
    tell("stopped")
    return 0


class _Server(uvicorn.Server):
    """uvicorn's server, which also ends silent connections and talks to the service manager."""

    where = ""

    def __init__(
        self, settings: ServeSettings, access: Access, extractor: Extractor, tell: Callable[[str], None]
    ) -> None:
        limits = settings.limits
        self._tell = tell
        self._manager = ServiceManager()
        self._connections = Connections(limits)
        self._uploads = Uploads(limits)
        self._extraction = Extraction(extractor, limits.queue)
        self._neighbours = None if settings.database is None else Neighbours(settings.database, extractor)
        name = extractor.bundle.manifest.name
        metrics = Metrics(__version__, name, extractor.variant, extractor.engine)
        metrics.watch("queue_photos", "Photos that wait or are being processed.", lambda: self._extraction.pending)
        metrics.watch("upload_bytes", "Bytes of requests in memory.", lambda: self._uploads.used)
        metrics.watch("connections", "Open connections.", lambda: len(self._connections))
        service = Service(
            extractor, self._extraction, self._uploads, self._neighbours, metrics, limits, access.token is not None
        )
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        super().__init__(
            uvicorn.Config(
                Application(service, access),
                http=self._connections.protocol(),
                ws="none",
                lifespan="off",
                loop="none",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                backlog=_BACKLOG,
                h11_max_incomplete_event_size=limits.headers,
                timeout_keep_alive=int(limits.keep_alive_seconds),
                timeout_graceful_shutdown=int(limits.stop_seconds),
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._extraction.start()
        await super().startup(sockets)
        self._tell(f"serving at {self.where}")
        self._manager.ready(f"serving at {self.where}")

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_A_SECOND == 0:
            self._connections.sweep()
        if not self._extraction.is_stuck:
            self._manager.alive()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._manager.stopping()
        self._tell("stopping")
        await super().shutdown(sockets)
        self._extraction.stop()
        if self._neighbours is not None:
            self._neighbours.stop()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # uvicorn's raises the signal again
        if threading.current_thread() is not threading.main_thread():  # signals can be handled in the main thread only
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit  # at the second signal
        self.should_exit = True


def _new_event_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the event loop: uvloop, where it has wheels, takes half the processor time a request."""
    try:
        import uvloop
    except ImportError:  # Windows, 32-bit ARM
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _loaded(settings: ServeSettings, tell: Callable[[str], None]) -> Extractor:
    """Load the bundle, as the database requires if there is one."""
    database = settings.database
    # An empty file is one that is about to be written.
    if database is not None and database.exists() and (not database.is_file() or database.stat().st_size):
        try:
            return _loaded_for(database, settings)
        except StoreError as error:
            if not is_in_use(error):
                raise
            tell(f"warning: {error}. Searches are answered when it can be read, if its features are of this bundle")
    return load(
        settings.bundle,
        variant=settings.variant,
        engine=settings.engine,
        threads=settings.threads,
        decoding=settings.decoding,
        max_pixels=settings.max_pixels,
        least_share=settings.least_share,
    )


def _loaded_for(database: Path, settings: ServeSettings) -> Extractor:
    with FeatureStore.open(database) as store:
        exact = "exact" if settings.decoding == "exact" else None
        for name, asked in (("variant", settings.variant), ("engine", settings.engine), ("decoding", exact)):
            held = getattr(store.identity, name)
            if asked not in (None, held):
                option = "exact" if name == "decoding" else name
                raise ArgumentError(f"{database} holds features of {name} {held}, not {asked}: leave out --{option}")
        return extractor_for(
            store,
            bundle=settings.bundle,
            threads=settings.threads,
            max_pixels=settings.max_pixels,
            least_share=settings.least_share,
        )
