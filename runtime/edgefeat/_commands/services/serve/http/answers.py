"""The forms of an answer: JSON, `.npy`, or float16 bytes, as the request's Accept asks."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from edgefeat._commands.services.serve.http.uploads import Uploads, busy

__all__ = ["Form", "array_answer", "error_answer", "json_answer", "requested_form"]

Form = Literal["json", "npy", "float16"]

_FORMS: dict[str, Form] = {
    "application/json": "json",
    "application/x-npy": "npy",
    "application/octet-stream": "float16",
}
_SLICE = 65536


def requested_form(accept: str) -> Form:
    """Return the form that the Accept header prefers, JSON if it has no preference.

    Raises HTTPException 406 if it allows none.
    """
    best: tuple[float, Form] | None = None
    for part in accept.split(",") if accept.strip() else ["*/*"]:
        kind, *parameters = (word.strip() for word in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                quality = _quality(parameter[2:])
        form = _form(kind.lower())
        if form is not None and quality > 0 and (best is None or quality > best[0]):
            best = quality, form
    if best is None:
        raise HTTPException(406, f"Accept: {accept[:100]!r} is not available (allowed: {', '.join(_FORMS)})")
    return best[1]


def _form(kind: str) -> Form | None:
    return "json" if kind in ("*/*", "application/*") else _FORMS.get(kind)


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def json_answer(value: object, *, status: int = 200, uploads: Uploads | None = None) -> Response:
    """Return JSON. Arrays become nested lists, float32 values with the digits that read back to the same float32."""
    content = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return _Answer(content, status=status, kind="application/json", uploads=uploads)


def error_answer(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error as JSON: `{"error": reason}`."""
    content = orjson.dumps({"error": reason.encode("utf-8", "replace").decode("utf-8")})
    return _Answer(content, status=status, kind="application/json", headers=headers)


def array_answer(features: Sequence[NDArray[np.float32]], form: Form, *, one: bool, uploads: Uploads) -> Response:
    """Return features as `.npy` (float32) or float16 bytes: shape (*tap.shape) for `one` photo, else (N, *tap.shape).

    Raises HTTPException 406 for a feature that is too large for float16.
    """
    array: NDArray[Any] = features[0] if one else np.stack(features)
    headers = {"X-Feature-Shape": ",".join(map(str, array.shape))}
    if form == "npy":
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.ascontiguousarray(array, "<f4"), allow_pickle=False)
        return _Answer(stream.getvalue(), kind="application/x-npy", headers=headers, uploads=uploads)
    if np.abs(array).max(initial=0.0) > np.finfo(np.float16).max:
        raise HTTPException(406, "the feature is too large for float16: ask for application/json or application/x-npy")
    content = array.astype("<f2").tobytes()
    return _Answer(content, kind="application/octet-stream", headers=headers, uploads=uploads)


class _Answer(Response):
    """An answer whose bytes count among the uploads while a slow client takes them."""

    def __init__(
        self,
        content: bytes,
        *,
        kind: str,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        super().__init__(content, status, headers, kind)
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._uploads is None or len(self.body) <= _SLICE:
            await super().__call__(scope, receive, send)
            return
        if self._uploads.used and self._uploads.used + len(self.body) > self._uploads.limits.bodies:
            raise busy("other requests fill the memory that the server may use")
        self._uploads.used += len(self.body)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            content = memoryview(self.body)
            for start in range(0, len(content), _SLICE):  # each waits until the client has taken the one before
                await send(
                    {"type": "http.response.body", "body": bytes(content[start : start + _SLICE]), "more_body": True}
                )
                await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._uploads.used -= len(self.body)
