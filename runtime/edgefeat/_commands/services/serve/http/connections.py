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

    def protocol(self) -> type[asyncio.Protocol]:  # noqa: C901  # a class within a function
        """Return the class of connections for uvicorn."""
        base = _protocol()
        counts_framing = hasattr(base, "on_body")  # the other one, h11, limits what it holds itself
        connections = self

        class Guarded(base):  # type: ignore[misc, valid-type]  # one of two classes with the same methods
            """A connection with a deadline: infinite while a request is being processed."""

            deadline = math.inf
            _write_deadline = math.inf
            _in_headers = 0
            _head = b""
            _received = 0
            _delivered = 0

            def connection_made(self, transport: asyncio.Transport) -> None:
                self.deadline = time.monotonic() + connections.limits.header_seconds
                super().connection_made(transport)
                if not connections.opened(self):
                    transport.write(_FULL)
                    transport.close()

            def connection_lost(self, exc: Exception | None) -> None:
                connections.closed(self)
                super().connection_lost(exc)

            def data_received(self, data: bytes) -> None:
                if self.transport.is_closing():
                    return
                before = self.cycle
                in_body = before is not None and before.more_body
                if not in_body and not self._in_headers and (before is None or before.response_complete):
                    self.deadline = time.monotonic() + connections.limits.header_seconds
                if not counts_framing and not in_body and self._is_ambiguous(data):
                    self._refuse(_MALFORMED)
                    return
                self._received += len(data)
                super().data_received(data)
                if self.cycle is not before:
                    self._in_headers = 0
                    self._received = self._delivered
                    if not self.cycle.response_complete:
                        self.deadline = math.inf
                elif not in_body:
                    self._in_headers += len(data)
                    if self._in_headers > connections.limits.headers:
                        self._refuse()
                elif counts_framing and self._framing() > connections.limits.headers:
                    self._refuse()

            def on_body(self, body: bytes) -> None:
                self._delivered += len(body)
                super().on_body(body)

            def on_message_begin(self) -> None:
                self._header_bytes = 0
                super().on_message_begin()

            def on_header(self, name: bytes, value: bytes) -> None:
                self._header_bytes += len(name) + len(value) + 4
                if self._header_bytes > connections.limits.headers:
                    raise ValueError("the header is too long")
                super().on_header(name, value)

            def on_headers_complete(self) -> None:
                if len(self.pipeline) >= _MOST_PIPELINED:
                    raise ValueError("too many requests sent ahead")
                super().on_headers_complete()

            def on_message_complete(self) -> None:
                super().on_message_complete()
                self.cycle.more_body = False
                if self.cycle.response_complete:
                    self.deadline = time.monotonic() + connections.limits.keep_alive_seconds

            def on_response_complete(self) -> None:
                super().on_response_complete()
                if self.cycle.response_complete:
                    seconds = _LINGER_SECONDS if self.cycle.more_body else connections.limits.keep_alive_seconds
                    self.deadline = time.monotonic() + seconds

            def pause_writing(self) -> None:
                self._write_deadline = time.monotonic() + connections.limits.answer_seconds
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

            def _framing(self) -> int:
                """Return how many bytes beside the body came in excess of what chunks of one byte need."""
                return self._received - (1 + _MOST_FRAMING) * self._delivered

            def _is_ambiguous(self, data: bytes) -> bool:
                self._head += data
                head, end, _ = self._head.partition(b"\r\n\r\n")
                if end or len(self._head) > connections.limits.headers:
                    self._head = b""
                return _AMBIGUOUS.search(head) is not None

            def _refuse(self, answer: bytes = _TOO_LONG) -> None:
                if not self.transport.is_closing():
                    self.transport.write(answer)
                    self.transport.close()

        return Guarded


def _protocol() -> type[Any]:
    """Return uvicorn's fast protocol, or its protocol in pure Python where httptools is not installed."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol

        return H11Protocol
    return HttpToolsProtocol
