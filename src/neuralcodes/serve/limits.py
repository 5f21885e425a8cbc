"""How much at once: requests, bytes and seconds; what is beyond it is refused, never piled up."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from neuralcodes.serve.metrics import Metrics
from neuralcodes.serve.security import OPEN, App, Message, Receive, Scope, Send, refusal
from neuralcodes.serve.settings import Settings

FREE = OPEN | {"/metrics"}
_log = logging.getLogger("neuralcodes.serve")


class Watch:
    """Counts and times every answer; an error of ours becomes a plain 500 and a log line."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        self._metrics.active.inc()
        try:
            await self._app(scope, receive, send_seen)
        except Exception:
            mark = secrets.token_hex(4)
            _log.exception("%s %s failed (%s)", scope["method"], scope["path"], mark)
            if not status:
                told = f"an error of ours; the service's log has it under {mark}"
                await refusal(scope, 500, "internal", told)(scope, receive, send_seen)
        finally:
            self._metrics.active.dec()
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(route, method, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class Limits:
    """Refuses what is too much: 413 for one that is too large, 429 for too many at once."""

    def __init__(self, app: App, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._active = 0
        self._pending = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] in FREE:
            await self._app(scope, receive, send)
            return
        settings = self._settings
        length = _length(Headers(scope=scope))
        if length > settings.request_bytes:
            self._metrics.refused.labels("size").inc()
            await refusal(scope, 413, "too_large", _too_large(settings))(scope, receive, send)
            return
        if self._active >= settings.active or self._pending + length > settings.pending_bytes:
            self._metrics.refused.labels("busy").inc()
            told = "too many requests at once; wait a moment and reload"
            busy = refusal(scope, 429, "busy", told, {"retry-after": "1"})
            await busy(scope, receive, send)
            return
        body = _Body(self, receive, length)
        self._active += 1
        self._pending += length
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._active -= 1
            self._pending -= body.charged

    def charge(self, more: int) -> None:
        """Bytes beyond those announced have come."""
        if self._pending + more > self._settings.pending_bytes:
            self._metrics.refused.labels("busy").inc()
            raise HTTPException(429, "too much at once", {"retry-after": "1"})
        self._pending += more

    @property
    def settings(self) -> Settings:
        """The limits."""
        return self._settings


class _Body:
    """A request's body as it comes: its size and the time it takes are bounded."""

    def __init__(self, limits: Limits, receive: Receive, announced: int) -> None:
        self._limits = limits
        self._receive = receive
        self._come = 0
        self._over = False
        self._deadline = time.monotonic() + limits.settings.body_seconds
        self.charged = announced

    async def receive(self) -> Message:
        """ASGI."""
        if self._over:
            return await self._receive()
        try:
            rest = max(0.0, self._deadline - time.monotonic())
            message = await asyncio.wait_for(self._receive(), rest)
        except TimeoutError:
            raise HTTPException(408, "the request's body was too slow") from None
        self._come += len(message.get("body", b""))
        if self._come > self._limits.settings.request_bytes:
            raise HTTPException(413, _too_large(self._limits.settings))
        if self._come > self.charged:
            more = self._come - self.charged
            self._limits.charge(more)
            self.charged += more
        self._over = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message


def _length(headers: Headers) -> int:
    with suppress(ValueError):
        return max(0, int(headers.get("content-length", "0")))
    return 0


def _too_large(settings: Settings) -> str:
    return f"a request may have {settings.request_bytes:,} bytes"
