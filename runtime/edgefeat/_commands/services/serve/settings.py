"""The settings of the server and its limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from edgefeat._errors import ArgumentError
from edgefeat._images.form import Decoding

__all__ = ["SERVE_PIXELS", "ServeLimits", "ServeSettings", "is_loopback"]

#: The default limit on decoded pixels. Pillow takes 4 bytes a pixel: 64 MB. libjpeg scales while it decodes, so that
#: JPEGs may have eight times as many, or 21 million if they are progressive.
SERVE_PIXELS = 16_000_000


@dataclass(frozen=True, slots=True)
class ServeLimits:
    """What one client may use. Sizes are in bytes, times in seconds.

    `bodies` limits the bytes of all requests that are in memory together, `queue` the photos that wait.
    """

    body: int = 16_000_000
    bodies: int = 16_000_000
    parts: int = 32
    part_headers: int = 4_096
    headers: int = 16_384
    queue: int = 64
    connections: int = 512
    header_seconds: float = 10.0
    idle_seconds: float = 10.0
    body_seconds: float = 60.0
    answer_seconds: float = 30.0
    keep_alive_seconds: float = 30.0
    stop_seconds: float = 4.0
    neighbours: int = 1_000
    thumbnails: int = 24

    def __post_init__(self) -> None:
        if not 1 <= self.body <= self.bodies:
            raise ArgumentError(f"a request may have {self.body} bytes (allowed: 1 to {self.bodies})")
        if self.queue < 1:
            raise ArgumentError(f"the queue holds {self.queue} photos (allowed: 1 or more)")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What to serve, where, and to whom. `hosts` and `origins` are allowed in addition to the server's own.

    With `unix` the server listens on a socket in the file system, and `host` and `port` have no effect.
    """

    bundle: str
    database: Path | None = None
    host: str = "127.0.0.1"
    port: int = 8765
    unix: Path | None = None
    token_file: Path | None = None
    open: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    variant: str | None = None
    engine: str | None = None
    threads: int | None = None
    decoding: Decoding = "fast"
    max_pixels: int = SERVE_PIXELS
    least_share: float = 1.0
    limits: ServeLimits = field(default_factory=ServeLimits)

    def __post_init__(self) -> None:
        if self.open and self.token_file is not None:
            raise ArgumentError("--open and --token-file cannot be combined: leave out --open")
        if self.unix is None and not is_loopback(self.host) and not self.open and self.token_file is None:
            raise ArgumentError(
                f"--host {self.host} lets other machines connect: add --token-file FILE, so that only clients with the "
                "token in it are served, or --open to serve everyone on the network"
            )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
