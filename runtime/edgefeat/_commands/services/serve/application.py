"""The ASGI application: access first, then the routes; every error is an answer."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from edgefeat._commands.services.serve.http.access import Access
from edgefeat._commands.services.serve.http.answers import error_answer
from edgefeat._commands.services.serve.routes import Service
from edgefeat._errors import ArgumentError, EdgefeatError, PictureError

__all__ = ["Application"]

_LONGEST_QUERY = 1024
# Of the page, and of no use to a client.
_FILES = ("/page.css", "/page.js")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
]


class Application:
    """Answers every request. `tell` logs a line."""

    def __init__(self, service: Service, access: Access) -> None:
        self._service = service
        self._access = access
        self._router = Router(service.routes())
        self._methods = {route.path: _method(route) for route in service.routes()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http"  # lifespan and WebSocket are switched off
        sending = _Sending(send, self._access.allowed_origin(scope["headers"]))
        try:
            await self._answer(scope, receive, sending)
        except ClientDisconnect:
            sending.status = 499  # as proxies log it
        except asyncio.CancelledError:  # the server stops, and the time for it is over
            with contextlib.suppress(OSError):
                await self._refuse(
                    scope, receive, sending, error_answer(503, "the server is stopping", {"Retry-After": "5"})
                )
        path = scope["path"] if scope["path"] in self._methods else "other"
        self._service.metrics.answered(path, sending.status)

    async def _answer(self, scope: Scope, receive: Receive, sending: _Sending) -> None:
        scope["app"] = self  # makes the router raise its errors
        refusal = self._access.refusal(scope["method"], scope["path"], scope["headers"])
        answer: Response | None = None
        if refusal is not None:
            headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}
            if refusal.closes:
                headers["Connection"] = "close"
            answer = error_answer(refusal.status, refusal.reason, headers)
        elif len(scope["raw_path"]) + len(scope["query_string"]) > _LONGEST_QUERY:
            answer = error_answer(414, f"the address is too long (allowed: {_LONGEST_QUERY} bytes)")
        elif scope["method"] == "OPTIONS":
            answer = Response(status_code=204, headers={"Allow": "GET, HEAD, POST, OPTIONS"})
        if answer is None:
            try:
                await self._router(scope, receive, sending)
                return
            except HTTPException as error:
                answer = error_answer(error.status_code, self._reason(scope, error), error.headers)
            except (PictureError, ArgumentError) as error:
                answer = error_answer(422, str(error))
            except EdgefeatError as error:
                answer = error_answer(500, str(error))
        await self._refuse(scope, receive, sending, answer)

    def _reason(self, scope: Scope, error: HTTPException) -> str:
        """Return the reason for the user: the router's own has neither the path nor what is allowed."""
        path = scope["path"]
        if error.status_code == 405 and path in self._methods:
            return f"{scope['method']} {path} is not supported: send {self._methods[path]} {path}"
        if error.status_code == 404 and path not in self._methods:
            allowed = ", ".join(f"{method} {known}" for known, method in self._methods.items() if known not in _FILES)
            return f"there is nothing at {path[:100]!r} (allowed: {allowed})"
        return error.detail

    async def _refuse(self, scope: Scope, receive: Receive, sending: _Sending, answer: Response) -> None:
        if not sending.status:  # otherwise part of another answer has been sent
            await answer(scope, receive, sending)


def _method(route: Route) -> str:
    """Return the method that a route is called with."""
    return "POST" if "POST" in (route.methods or ()) else "GET"


class _Sending:
    """Sends an answer with the headers that all have, and remembers its status."""

    def __init__(self, send: Send, origin: str | None) -> None:
        self._send = send
        self._origin = origin
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], *_HEADERS]
            if self._origin is not None:
                headers += [
                    (b"access-control-allow-origin", self._origin.encode("latin-1")),
                    (b"access-control-allow-headers", b"authorization, content-type"),
                    (b"access-control-allow-methods", b"GET, POST"),
                    (b"access-control-max-age", b"600"),
                    (b"vary", b"origin"),
                ]
            message["headers"] = headers
        await self._send(message)
