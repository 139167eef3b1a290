"""The sockets that the server listens on."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Sequence

from edgefeat._commands.services.serve.settings import ServeSettings
from edgefeat._errors import ArgumentError, OutputError

__all__ = ["address", "close", "listening"]


def listening(settings: ServeSettings) -> list[socket.socket]:
    """Return the listening sockets. Raises ArgumentError for an unknown host, OutputError if the address is in use."""
    if settings.unix is not None:
        return [_unix_socket(os.fspath(settings.unix))]
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ArgumentError(f"--host {settings.host!r} is not an address of this machine: {error.strerror}") from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.setblocking(False)
    except OSError as error:
        for one in sockets:
            one.close()
        raise OutputError(
            f"port {settings.port} of {settings.host} cannot be used: {error.strerror}; choose another with --port"
        ) from None
    return sockets


def _unix_socket(path: str) -> socket.socket:
    """Return a socket in the file system that the owner and the group may use. A stale one is replaced."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise ArgumentError(f"--unix {path!r} is a file: choose another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            else:
                raise OutputError(f"--unix {path!r} is in use by another server")
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o117)
    try:
        one.bind(path)
    except OSError as error:
        one.close()
        raise OutputError(f"--unix {path!r} cannot be created: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    one.setblocking(False)
    return one


def address(settings: ServeSettings, sockets: list[socket.socket]) -> str:
    """Return the address as a user opens it."""
    if settings.unix is not None:
        return f"unix:{settings.unix}"
    port = sockets[0].getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{port}/"


def close(settings: ServeSettings, sockets: Sequence[socket.socket]) -> None:
    """Close the sockets and remove the one in the file system."""
    for one in sockets:
        one.close()
    if settings.unix is not None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(settings.unix)
