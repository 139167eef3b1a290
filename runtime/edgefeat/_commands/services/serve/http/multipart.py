"""The pictures of a multipart/form-data body. Each part with a file name is one; nothing is written to disk."""

from __future__ import annotations

import io
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.exceptions import HTTPException

from edgefeat._commands.services.serve.http.uploads import Upload
from edgefeat._commands.services.serve.settings import ServeLimits

__all__ = ["Part", "read_parts"]

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Part:
    """A picture, and the file name that the client gave. The name is shown and never opened."""

    name: str
    data: bytes


async def read_parts(upload: Upload, content_type: str, limits: ServeLimits) -> list[Part]:
    """Return the pictures of the body, at most `limits.parts`.

    Raises HTTPException: 400 for a body that is not multipart or has no picture, 413 for too many parts, and as
    `Upload.read`.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise HTTPException(415, "a multipart body must be multipart/form-data with a boundary")
    parts = _Parts(upload, limits)
    try:
        parser = MultipartParser(options[b"boundary"], parts.callbacks())  # type: ignore[arg-type]  # by name
        await upload.read(lambda chunk: parser.write(chunk))
        parser.finalize()
    except FormParserError as error:
        raise HTTPException(400, f"the multipart body is malformed: {' '.join(str(error).split())}") from None
    if not parts.is_complete:
        raise HTTPException(400, "the multipart body ends before its last boundary")
    if not parts.read:
        raise HTTPException(400, "the multipart body has no picture: send each as a part with a file name")
    return parts.read


class _Parts:
    """The parts read so far."""

    def __init__(self, upload: Upload, limits: ServeLimits) -> None:
        self._upload = upload
        self._limits = limits
        self._count = 0
        self._in_headers = 0
        self._field = b""
        self._value = b""
        self._name: str | None = None
        self._content = io.BytesIO()
        self.read: list[Part] = []
        self.is_complete = False

    def callbacks(self) -> dict[str, object]:
        """Return the functions that the parser calls, by the names it gives them."""
        names = ("part_begin", "part_data", "part_end", "header_field", "header_value", "header_end", "end")
        return {f"on_{name}": getattr(self, name) for name in names}

    def part_begin(self) -> None:
        self._count += 1
        if self._count > self._limits.parts:
            raise HTTPException(413, f"too many parts (allowed: {self._limits.parts})")
        self._in_headers = 0
        self._name = None
        self._content = io.BytesIO()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._field += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._count_header(end - start)
        self._value += data[start:end]

    def header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            if (name := options.get(b"filename")) is not None:
                self._name = name.decode("utf-8", "replace")[:_LONGEST_NAME]
        self._field = self._value = b""

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._name is not None:  # other fields of a form are ignored
            self._upload.take(end - start)
            self._content.write(memoryview(data)[start:end])

    def part_end(self) -> None:
        if self._name is not None:
            self.read.append(Part(self._name, self._content.getvalue()))

    def end(self) -> None:
        self.is_complete = True

    def _count_header(self, size: int) -> None:
        self._in_headers += size
        if self._in_headers > self._limits.part_headers:
            raise HTTPException(413, f"the headers of a part are too long (allowed: {self._limits.part_headers} bytes)")
