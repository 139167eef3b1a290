"""uvicorn's HTTP connections, with limits on headers, on silence and on their number."""

from __future__ import annotations

import asyncio
import math
import re
import time
from typing import Any

from edgefeat._commands.services.serve.settings import ServeLimits

__all__ = ["Connections"]

# After an answer to a request whose body has not been read, the rest of the body is discarded for this long: closing at
# once would reset the connection, and the client might lose the answer.
_LINGER_SECONDS = 5.0
# Requests sent ahead on one connection.
_MOST_PIPELINED = 8
# The framing of a chunked body may take this many times the bytes in it, which are one a chunk at worst.
_MOST_FRAMING = 8


def _last_answer(status: str, reason: str, header: str = "") -> bytes:
    """Return an answer as it is sent, after which the connection closes."""
    body = f'{{"error":"{reason}"}}'
    return (
        f"HTTP/1.1 {status}\r\n{header}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Connection: close\r\n\r\n{body}"
    ).encode("ascii")


# Ways to end or continue a line of the header that programs understand differently. llhttp refuses them, h11 does not.
_AMBIGUOUS = re.compile(rb"(?<!\r)\n|\n[ \t]")

_FULL = _last_answer("503 Service Unavailable", "too many connections: try again in a second", "Retry-After: 1\r\n")
_TOO_LONG = _last_answer("431 Request Header Fields Too Large", "the header is too long")
_MALFORMED = _last_answer("400 Bad Request", "the header is malformed")


class Connections:
    """All open connections. `sweep` ends those that have been silent for too long."""

    def __init__(self, limits: ServeLimits) -> None:
        self.limits = limits
        self._open: dict[Any, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def sweep(self) -> None:
        """End the connections whose time is over. Call it once a second."""
        now = time.monotonic()
        for connection in list(self._open):
            connection.end_if_late(now)

    def opened(self, connection: Any) -> bool:
        """Add a connection. If there are too many, the one idle for longest ends; return False if none is idle."""
        if len(self._open) >= self.limits.connections:
            idle = [one for one in self._open if one.deadline < math.inf]
            if not idle:
                return False
            oldest = min(idle, key=lambda one: one.deadline)
            self.closed(oldest)
            oldest.transport.abort()
        self._open[connection] = None
        return True

    def closed(self, connection: Any) -> None:
        """Remove a connection."""
        self._open.pop(connection, None)

    def protocol(self) -> type[asyncio.Protocol]:
        """Return the class of connections for uvicorn."""
        try:
            from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
        except ImportError:  # 32-bit ARM: uvicorn's protocol in pure Python
            from uvicorn.protocols.http.h11_impl import H11Protocol

            return type("Guarded", (_StrictLines, _Guarded, H11Protocol), {"connections_": self})
        return type("Guarded", (_CountedBytes, _Guarded, HttpToolsProtocol), {"connections_": self})


class _Guarded(asyncio.Protocol):
    """A connection with a deadline: infinite while a request is being processed. Before one of uvicorn's classes."""

    connections_: Connections
    # Of uvicorn's classes.
    cycle: Any
    transport: asyncio.Transport

    deadline = math.inf
    _write_deadline = math.inf
    _in_headers = 0

    @property
    def limits(self) -> ServeLimits:
        """The limits."""
        return self.connections_.limits

    @property
    def is_in_body(self) -> bool:
        """Whether the rest of a request's body is expected."""
        return self.cycle is not None and bool(self.cycle.more_body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.deadline = time.monotonic() + self.limits.header_seconds
        super().connection_made(transport)
        if not self.connections_.opened(self):
            self.refuse(_FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections_.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        before, in_body = self.cycle, self.is_in_body
        if not in_body and not self._in_headers and (before is None or before.response_complete):
            self.deadline = time.monotonic() + self.limits.header_seconds
        super().data_received(data)
        if self.cycle is not before:
            self._in_headers = 0
            if not self.cycle.response_complete:
                self.deadline = math.inf
        elif not in_body:
            self._in_headers += len(data)
            if self._in_headers > self.limits.headers:
                self.refuse(_TOO_LONG)

    def on_response_complete(self) -> None:
        """Set the deadline for the next request, or for the rest of a body that nobody reads."""
        super().on_response_complete()  # type: ignore[misc]  # uvicorn's
        if self.cycle.response_complete:
            seconds = _LINGER_SECONDS if self.cycle.more_body else self.limits.keep_alive_seconds
            self.deadline = time.monotonic() + seconds

    def pause_writing(self) -> None:
        self._write_deadline = time.monotonic() + self.limits.answer_seconds
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_deadline = math.inf
        super().resume_writing()

    def end_if_late(self, now: float) -> None:
        """End the connection if its time is over."""
        if self.transport.is_closing():
            self.deadline = min(self.deadline, now + _LINGER_SECONDS)
        if now > min(self.deadline, self._write_deadline):
            self.transport.abort()

    def refuse(self, answer: bytes) -> None:
        """Send a last answer and close."""
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


class _CountedBytes(_Guarded):
    """Limits what httptools holds in memory: headers, trailers, requests sent ahead, and the framing of chunks."""

    pipeline: Any

    _header_bytes = 0
    _received = 0
    _delivered = 0

    def data_received(self, data: bytes) -> None:
        before, in_body = self.cycle, self.is_in_body
        self._received += len(data)
        super().data_received(data)
        if self.cycle is not before:
            self._received = self._delivered
        elif in_body and self._received - (1 + _MOST_FRAMING) * self._delivered > self.limits.headers:
            self.refuse(_TOO_LONG)

    def on_body(self, body: bytes) -> None:
        """Count what reaches the application."""
        self._delivered += len(body)
        super().on_body(body)  # type: ignore[misc]  # uvicorn's

    def on_message_begin(self) -> None:
        """Begin to count a header."""
        self._header_bytes = 0
        super().on_message_begin()  # type: ignore[misc]  # uvicorn's

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a line of a header or a trailer. An error ends the connection."""
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > self.limits.headers:
            raise ValueError("the header is too long")
        super().on_header(name, value)  # type: ignore[misc]  # uvicorn's

    def on_headers_complete(self) -> None:
        """Begin a request, if not too many wait. An error ends the connection."""
        if len(self.pipeline) >= _MOST_PIPELINED:
            raise ValueError("too many requests sent ahead")
        super().on_headers_complete()  # type: ignore[misc]  # uvicorn's

    def on_message_complete(self) -> None:
        """Note that the body is complete, also if it was answered before."""
        super().on_message_complete()  # type: ignore[misc]  # uvicorn's
        self.cycle.more_body = False
        if self.cycle.response_complete:
            self.deadline = time.monotonic() + self.limits.keep_alive_seconds


class _StrictLines(_Guarded):
    """Refuses headers that h11 accepts and other programs understand differently."""

    _head = b""

    def data_received(self, data: bytes) -> None:
        if not self.is_in_body:
            self._head += data
            head, end, _ = self._head.partition(b"\r\n\r\n")
            if end or len(self._head) > self.limits.headers:
                self._head = b""
            if _AMBIGUOUS.search(head):
                self.refuse(_MALFORMED)
                return
        super().data_received(data)
