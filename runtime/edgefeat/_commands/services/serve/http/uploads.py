"""Reading a request's body: within a limit for one request, a limit for all of them together, and time limits."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request

from edgefeat._commands.services.serve.settings import ServeLimits

__all__ = ["RETRY", "Upload", "Uploads", "busy"]

#: The header of an answer to try again: photos take milliseconds.
RETRY = {"Retry-After": "1"}

# An upload that has sent nothing for this long gives way to others when memory is short.
_STALLED_SECONDS = 0.5


def busy(why: str) -> HTTPException:
    """Return the answer for a request that finds no room: status 503 with Retry-After."""
    return HTTPException(503, f"{why}: try again in a second", RETRY)


class Uploads:
    """The bodies of all requests, whose bytes together stay within `limits.bodies`."""

    def __init__(self, limits: ServeLimits) -> None:
        self.limits = limits
        self.used = 0
        self._arriving: dict[Upload, None] = {}

    def begin(self, request: Request) -> Upload:
        """Start to read a body. Raises HTTPException: 413 if it is too large, 415 if it is compressed."""
        if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise HTTPException(415, "a compressed body is not supported: send the picture as it is")
        length = request.headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > self.limits.body:
            raise self.too_large()
        upload = Upload(self, request)
        self._arriving[upload] = None
        return upload

    def too_large(self) -> HTTPException:
        """Return the answer for a body that is too large."""
        return HTTPException(413, f"the body is too large (allowed: {self.limits.body:,} bytes; --max-body)")

    def take(self, upload: Upload, size: int) -> None:
        """Count bytes that have arrived. Raises HTTPException 503 if there is no room for them."""
        if self.used + size > self.limits.bodies and not self._make_room(upload, size):
            raise busy("other uploads fill the memory that the server may use")
        self.used += size
        upload.held += size

    def arrived(self, upload: Upload) -> None:
        """Note that an upload is complete or has failed."""
        self._arriving.pop(upload, None)

    def _make_room(self, upload: Upload, size: int) -> bool:
        """Cut off the uploads that have been silent for longest, as far as needed."""
        now = time.monotonic()
        silent = sorted((one for one in self._arriving if one is not upload), key=lambda one: one.heard)
        for other in silent:
            if now - other.heard < _STALLED_SECONDS or self.used + size <= self.limits.bodies:
                break
            other.cut_off()
        return self.used + size <= self.limits.bodies


class Upload:
    """One request's body. Its bytes count until `release`."""

    def __init__(self, uploads: Uploads, request: Request) -> None:
        self._uploads = uploads
        self._request = request
        self._timeout: asyncio.Timeout | None = None
        self._content: io.BytesIO | None = None
        self._is_cut_off = False
        self.held = 0
        self.heard = time.monotonic()

    async def read(self, sink: Callable[[bytes], object]) -> None:
        """Give the body to `sink` as it arrives. Raises HTTPException: 408 if it is too slow, 413, 503."""
        limits = self._uploads.limits
        loop = asyncio.get_running_loop()
        end = loop.time() + limits.body_seconds
        total = 0
        try:
            async with asyncio.timeout(limits.idle_seconds) as self._timeout:
                async for chunk in self._request.stream():
                    if self._is_cut_off:
                        break
                    self.heard = time.monotonic()
                    total += len(chunk)
                    if total > limits.body:
                        raise self._uploads.too_large()
                    sink(chunk)
                    self._timeout.reschedule(min(end, loop.time() + limits.idle_seconds))
        except TimeoutError:
            if not self._is_cut_off:
                allowed = f"{limits.body_seconds:g} s, {limits.idle_seconds:g} s without a byte"
                raise HTTPException(408, f"the body arrived too slowly (allowed: {allowed})") from None
        finally:
            self._timeout = None
            self._uploads.arrived(self)
        if self._is_cut_off:
            raise busy("the upload was slow, and others needed the memory")

    async def whole(self) -> bytes:
        """Return the whole body. Raises as `read`."""
        content = self._content = io.BytesIO()  # gives its content away without a copy

        def keep(chunk: bytes) -> None:
            self._uploads.take(self, len(chunk))
            content.write(chunk)

        await self.read(keep)
        self._content = None
        return content.getvalue()

    def take(self, size: int) -> None:
        """Count bytes that the caller keeps. Raises HTTPException 503."""
        self._uploads.take(self, size)

    def cut_off(self) -> None:
        """End the upload and free its memory now."""
        self._is_cut_off = True
        self._uploads.arrived(self)
        if self._content is not None:
            self._content.seek(0)
            self._content.truncate()
            self.release()
        if self._timeout is not None:
            self._timeout.reschedule(0.0)

    def release(self) -> None:
        """Stop counting the bytes, which are no longer in memory."""
        self._uploads.arrived(self)
        self._uploads.used -= self.held
        self.held = 0
