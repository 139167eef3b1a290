"""What each path answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edgefeat._commands.services.serve.extraction import Extracted, Extraction
from edgefeat._commands.services.serve.http.answers import array_answer, json_answer, requested_form
from edgefeat._commands.services.serve.http.multipart import Part, read_parts
from edgefeat._commands.services.serve.http.uploads import Uploads
from edgefeat._commands.services.serve.metrics import METRICS_TYPE, Metrics
from edgefeat._commands.services.serve.neighbours import Found, Neighbours, Query
from edgefeat._commands.services.serve.settings import ServeLimits
from edgefeat._errors import EdgefeatError, PictureError
from edgefeat._extractor import Extractor
from edgefeat._version import __version__

__all__ = ["Service"]

_PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
# The page may load its own files, show chosen photos and the camera, and send to this server; nothing else.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Service:
    """What answers requests: the extractor and its queue, the uploads, the database if there is one, the metrics."""

    extractor: Extractor
    extraction: Extraction
    uploads: Uploads
    neighbours: Neighbours | None
    metrics: Metrics
    limits: ServeLimits
    needs_token: bool

    def routes(self) -> list[Route]:
        """Return the routes, the most used first."""
        return [
            Route("/features", self.features, methods=["POST"]),
            Route("/search", self.search, methods=["POST"]),
            Route("/health", self.health),
            Route("/info", self.info),
            Route("/metrics", self.prometheus),
            Route("/openapi.json", self.openapi),
            *(Route(path, self.page) for path in _PAGE),
        ]

    async def features(self, request: Request) -> Response:
        """Answer with the feature of the picture in the body, or of several in a multipart body."""
        form = requested_form(request.headers.get("accept", ""))
        tap = self._tap(request)
        if form != "json" and tap is None and len(self.extractor.taps) > 1:
            raise HTTPException(400, f"several taps: choose one with ?tap=NAME (allowed: {self._taps()})")
        self.extraction.check_room()
        upload = self.uploads.begin(request)
        try:
            if _is_multipart(request):
                parts = await read_parts(upload, request.headers["content-type"], self.limits)
                self.extraction.check_room()
                results = await self._extracted_parts(parts)
                return self._several(parts, results, form, tap)
            data = _not_empty(await upload.whole())
            self.extraction.check_room()
            extracted = await self._extracted(data)
        finally:
            upload.release()
        if form != "json":
            return array_answer([self._feature(extracted, tap)], form, one=True, uploads=self.uploads)
        return json_answer({**self._described(extracted, tap), **self._about()}, uploads=self.uploads)

    async def search(self, request: Request) -> Response:
        """Answer with the photos of the database nearest to the picture in the body."""
        if self.neighbours is None:
            raise HTTPException(404, "there is no database to search: start the server with --database FILE.db")
        count = _whole(request, "k", 10, self.limits.neighbours)
        thumbnails = _whole(request, "thumbnails", 0, self.limits.thumbnails)
        tap = self._tap(request)
        if tap is None and len(self.extractor.taps) > 1:
            raise HTTPException(400, f"several taps: choose one with ?tap=NAME (allowed: {self._taps()})")
        self.extraction.check_room()
        upload = self.uploads.begin(request)
        try:
            if _is_multipart(request):
                parts = await read_parts(upload, request.headers["content-type"], self.limits)
                if len(parts) > 1:
                    raise HTTPException(400, f"a search takes one picture, not {len(parts)}: send one a request")
                data = _not_empty(parts[0].data)
            else:
                data = _not_empty(await upload.whole())
            self.extraction.check_room()
            extracted = await self._extracted(data)
        finally:
            upload.release()
        found = await self.neighbours.nearest(Query(self._feature(extracted, tap), count, tap, thumbnails))
        self.metrics.took("search", found.milliseconds)
        return json_answer(self._found(found, extracted), uploads=self.uploads)

    async def health(self, request: Request) -> Response:
        """Answer whether photos are being processed."""
        if self.extraction.is_stuck:
            raise HTTPException(503, "every thread has been busy with one photo for a minute")
        return json_answer({"status": "ok"})

    async def info(self, request: Request) -> Response:
        """Answer with what is served and its limits."""
        extractor, picture = self.extractor, self.extractor.bundle.manifest.picture
        database = None
        if self.neighbours is not None:
            database = {"photos": await asyncio.to_thread(self.neighbours.photos)}
        taps = [{"name": tap.name, "shape": list(tap.shape)} for tap in extractor.taps]
        return json_answer(
            {
                **self._about(),
                "edgefeat": __version__,
                "manifest_sha256": extractor.bundle.identity,
                "engine_version": extractor.engine_version,
                "reason": extractor.reason,
                "threads": extractor.threads,
                "decoding": extractor.decoding,
                "input": {"width": picture.width, "height": picture.height, "fit": picture.fit},
                "taps": taps,
                "database": database,
                "limits": {**asdict(self.limits), "max_pixels": extractor.limits.max_pixels},
            }
        )

    async def prometheus(self, request: Request) -> Response:
        """Answer with the metrics."""
        return Response(self.metrics.text(), headers={"Content-Type": METRICS_TYPE})

    async def openapi(self, request: Request) -> Response:
        """Answer with the description of this interface."""
        document = orjson.loads(_file("openapi.json"))
        document["info"]["version"] = __version__
        if not self.needs_token:
            del document["security"], document["components"]["securitySchemes"]
        if self.neighbours is None:
            del document["paths"]["/search"]
        return json_answer(document)

    async def page(self, request: Request) -> Response:
        """Answer with the page or one of its two files."""
        name, kind = _PAGE[request.url.path]
        headers = {"Content-Security-Policy": _PAGE_POLICY, "Permissions-Policy": "camera=(self)"}
        return Response(_file(name), headers=headers, media_type=kind)

    async def _extracted(self, data: bytes) -> Extracted:
        """Extract one photo and count it."""
        try:
            extracted = await self.extraction.extract(data)
        except PictureError:
            self.metrics.photo("unreadable")
            raise
        except EdgefeatError:
            self.metrics.photo("failed")
            raise
        self.metrics.photo("ok")
        for stage, took in (("wait", extracted.waited), ("prepare", extracted.prepared), ("engine", extracted.run)):
            self.metrics.took(stage, took)
        return extracted

    async def _extracted_parts(self, parts: Sequence[Part]) -> list[Extracted | PictureError]:
        """Extract several photos. A request takes few places of the queue at a time, however many photos it has."""
        results: list[Extracted | PictureError] = []
        for start in range(0, len(parts), self.extraction.width):
            some = parts[start : start + self.extraction.width]
            for result in await asyncio.gather(*(self._extracted(one.data) for one in some), return_exceptions=True):
                if isinstance(result, BaseException) and not isinstance(result, PictureError):
                    raise result
                results.append(result)
        return results

    def _several(
        self, parts: Sequence[Part], results: Sequence[Extracted | PictureError], form: Any, tap: str | None
    ) -> Response:
        """Return the answer for several photos: status 422 if one of them cannot be read."""
        read = [result for result in results if isinstance(result, Extracted)]
        if len(read) == len(parts) and form != "json":
            features = [self._feature(result, tap) for result in read]
            return array_answer(features, form, one=False, uploads=self.uploads)
        photos: list[dict[str, object]] = []
        failed: list[str] = []
        for part, result in zip(parts, results, strict=True):
            if isinstance(result, Extracted):
                photos.append({"name": part.name, **self._described(result, tap)})
            else:
                photos.append({"name": part.name, "error": str(result)})
                failed.append(f"{part.name}: {result}")
        answer: dict[str, object] = {"photos": photos, **self._about()}
        if failed:
            answer["error"] = "; ".join(failed)
        return json_answer(answer, status=422 if failed else 200, uploads=self.uploads)

    def _described(self, extracted: Extracted, tap: str | None) -> dict[str, object]:
        """Return a photo's feature, and its times in milliseconds."""
        feature: object
        if tap is not None or len(extracted.features) == 1:
            feature = self._feature(extracted, tap)
        else:
            feature = {one.name: value for one, value in zip(self.extractor.taps, extracted.features, strict=True)}
        described: dict[str, object] = {"feature": feature, "milliseconds": _times(extracted)}
        if extracted.share < 1:
            described["share"] = round(extracted.share, 4)
        return described

    def _feature(self, extracted: Extracted, tap: str | None) -> NDArray[np.float32]:
        names = [one.name for one in self.extractor.taps]
        feature = extracted.features[0 if tap is None else names.index(tap)]
        return np.ascontiguousarray(feature)

    def _found(self, found: Found, extracted: Extracted) -> dict[str, object]:
        times = {**_times(extracted), "search": round(found.milliseconds, 3)}
        return {"neighbours": found.neighbours, "photos": found.photos, "milliseconds": times, **self._about()}

    def _about(self) -> dict[str, object]:
        extractor = self.extractor
        return {"bundle": extractor.bundle.manifest.name, "variant": extractor.variant, "engine": extractor.engine}

    def _tap(self, request: Request) -> str | None:
        tap = request.query_params.get("tap")
        if tap is not None and tap not in {one.name for one in self.extractor.taps}:
            raise HTTPException(400, f"tap {tap[:100]!r} is unknown (allowed: {self._taps()})")
        return tap

    def _taps(self) -> str:
        return ", ".join(one.name for one in self.extractor.taps)


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").strip().lower().startswith("multipart/")


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise HTTPException(400, "the body is empty: send a picture, as with curl --data-binary @photo.jpg")
    return data


def _times(extracted: Extracted) -> dict[str, float]:
    times = {"wait": extracted.waited, "prepare": extracted.prepared, "engine": extracted.run}
    return {stage: round(milliseconds, 3) for stage, milliseconds in times.items()}


def _whole(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    least = min(default, 1)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise HTTPException(400, f"{name} is {text[:100]!r} (allowed: {least} to {most})")
    return int(text)


def _file(name: str) -> bytes:
    """Return one of the files of the page. The name is this module's, never a client's."""
    return files("edgefeat._commands.services.serve.page").joinpath(name).read_bytes()
