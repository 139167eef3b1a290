"""A running `edgefeat serve`, requests to it, and bodies to send."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.services.services import Service, running

NEEDED = ("uvicorn", "starlette", "orjson", "prometheus_client", "python_multipart")

MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]

needs_serve = pytest.mark.skipif(bool(MISSING), reason=f"the extra serve is not installed: no {', '.join(MISSING)}")


class Answer:
    """An answer: status, headers, body."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running server."""

    def __init__(self, service: Service) -> None:
        self.service = service
        line = service.said("serving at ")
        self.port = int(line.rstrip("/").rpartition(":")[2]) if line.endswith("/") else 0

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        try:
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def raw(self, sent: bytes, silence: float = 2.0, until: bytes | None = None) -> bytes:
        """Send bytes; return what comes back.

        That is up to `until`, or until the server closes the connection or says nothing for so many seconds.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(sent)
            connection.settimeout(silence)
            received = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while (until is None or until not in received) and (block := connection.recv(65536)):
                    received += block
            return received


@contextlib.contextmanager
def serving(bundle: Path, *options: str | Path, **more: Any) -> Iterator[Server]:
    with running("serve", bundle, "--port", "0", *options, **more) as service:
        yield Server(service)


def multipart(**files: bytes) -> tuple[bytes, str]:
    """A multipart body and its type."""
    parts = [
        f'--limit\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in files.items()
    ]
    return b"".join(parts) + b"--limit--\r\n", "multipart/form-data; boundary=limit"


def bomb(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    pixels = zlib.compress(bytes((side // 8 + 1) * side), 9)
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
