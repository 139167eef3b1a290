"""Who may send a request: the checks of Host, Origin and token.

A page of another site can make a browser send requests to a server on the user's machine or network. Its requests have
that site's Origin, or, where it made its own name resolve to this machine (DNS rebinding), that site's name as Host.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgefeat._commands.services.serve.settings import ServeSettings
from edgefeat._errors import ArgumentError

__all__ = ["Access", "Refusal", "read_token"]

_SHORTEST_TOKEN, _LONGEST_TOKEN = 16, 4096
# Answered without a token: nothing in them depends on the database or on a picture.
_WITHOUT_TOKEN = frozenset({"/", "/page.css", "/page.js", "/health", "/openapi.json"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is refused: the HTTP status and the reason. If it `closes`, what follows is not trusted either."""

    status: int
    reason: str
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """The names by which the server may be called, the other origins allowed, and the token, if one is required."""

    hosts: frozenset[str]
    origins: frozenset[str]
    token: bytes | None

    @classmethod
    def of(cls, settings: ServeSettings) -> Access:
        """Return the checks for these settings. Raises ArgumentError for an invalid token file or name."""
        own = socket.gethostname().lower().rstrip(".")
        names = {"localhost", settings.host.lower(), own, f"{own.partition('.')[0]}.local"}
        hosts = frozenset(names | {_checked_host(name) for name in settings.hosts})
        token = None if settings.token_file is None else read_token(settings.token_file)
        return cls(hosts, frozenset(_checked_origin(origin) for origin in settings.origins), token)

    def refusal(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Refusal | None:
        """Return why the request is refused, or None. Header names are in lower case."""
        fields: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in fields and name in (b"host", b"origin", b"authorization", b"content-length"):
                return Refusal(400, f"the header {name.decode('ascii')} appears twice", closes=True)
            fields[name] = value
        if b"transfer-encoding" in fields and b"content-length" in fields:
            return Refusal(400, "Transfer-Encoding and Content-Length cannot be combined", closes=True)
        if not fields.get(b"content-length", b"0").isdigit():
            return Refusal(400, "Content-Length is not a number", closes=True)
        host = fields.get(b"host", b"").decode("latin-1")
        if not self._is_own(host):
            return Refusal(
                421,
                f"this server is not called {host!r} (allowed: its address, {', '.join(sorted(self.hosts))}): "
                "add a name with --allow-host",
            )
        if (refused := self._cross_site(method, host, fields)) is not None:
            return refused
        if self.token is not None and path not in _WITHOUT_TOKEN and method != "OPTIONS":
            scheme, _, given = fields.get(b"authorization", b"").partition(b" ")
            is_right = hmac.compare_digest(given.strip(), self.token)
            if scheme.lower() != b"bearer" or not is_right:
                return Refusal(401, "the token is missing or wrong: send the header Authorization: Bearer TOKEN")
        return None

    def allowed_origin(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the request's origin if it is another one that is allowed."""
        origin = dict(headers).get(b"origin", b"").decode("latin-1")
        return origin if origin in self.origins else None

    def _is_own(self, host: str) -> bool:
        """Return whether `host` is an address or one of the server's names, with or without a port."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]").lower().rstrip(".")
        if name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # no name was resolved, so that none can be rebound

    def _cross_site(self, method: str, host: str, fields: dict[bytes, bytes]) -> Refusal | None:
        origin = fields.get(b"origin", b"").decode("latin-1")
        if origin and origin not in self.origins and origin not in (f"http://{host}", f"https://{host}"):
            return Refusal(403, f"a page of {origin!r} may not use this server: allow it with --allow-origin")
        site = fields.get(b"sec-fetch-site", b"same-origin")
        if not origin and method not in _SAFE and site not in (b"same-origin", b"none"):
            return Refusal(403, "a page of another site may not use this server")
        return None


def read_token(path: Path) -> bytes:
    """Return the token in the file, without the white space around it. Raises ArgumentError."""
    try:
        with open(path, "rb") as stream:
            token = stream.read(_LONGEST_TOKEN + 1).strip()
    except OSError as error:
        raise ArgumentError(f"--token-file {str(path)!r} cannot be read: {error.strerror}") from None
    is_plain = all(0x21 <= byte <= 0x7E for byte in token)
    if not _SHORTEST_TOKEN <= len(token) <= _LONGEST_TOKEN or not is_plain:
        raise ArgumentError(
            f"--token-file {str(path)!r} does not hold a token (allowed: {_SHORTEST_TOKEN} to {_LONGEST_TOKEN} ASCII "
            "characters without spaces): make one with: openssl rand -hex 32"
        )
    return token


def _checked_host(name: str) -> str:
    match = _HOST.fullmatch(name)
    if match is None or match[1] != name:
        raise ArgumentError(
            f"--allow-host {name!r} is not a host name (allowed: a name without port, as pi.example.org)"
        )
    return name.strip("[]").lower().rstrip(".")


def _checked_origin(origin: str) -> str:
    scheme, separator, host = origin.partition("://")
    if scheme not in ("http", "https") or not separator or _HOST.fullmatch(host) is None:
        raise ArgumentError(f"--allow-origin {origin!r} is not an origin (allowed: such as https://example.org:8443)")
    return origin
