"""Who may ask: host, origin and token of each request are checked before anything else is done.

- Host: a service without a token answers only to loopback names, so that a page of another site
  cannot reach it by a name of its own that it points to this machine (DNS rebinding).
- Origin: what changes something must not come from another site's page (CSRF).
- Token: compared in constant time; for browsers a cookie that is made from it.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import re
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from neuralcodes.serve.settings import LOOPBACK_NAMES, Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/healthz", "/readyz", "/page/page.css"})  # the style of the form for the token
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE = "neuralcodes"
COOKIE_SECONDS = 30 * 86400
LOGIN = "/login"
LOGIN_BYTES = 4096

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
DOCS_POLICY = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "blob:", "data:"
)  # Swagger UI sets styles in its markup
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # nothing for other sites; "no-referrer" would also make the Origin of our own forms "null"
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "cache-control": "no-store",
}

LOGIN_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>neuralcodes</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/page/page.css">
<main><div class="empty"><h1>neuralcodes</h1><p role="status">{message}</p>
<form class="row" method="post" action="/login"><label>Token <input name="token" type="password"
required autofocus autocomplete="current-password"></label>
<button class="main">Open</button></form>
</div></main></html>"""


ERROR_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>{title} · neuralcodes</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/page/page.css"></head>
<body><main id="main"><div class="empty" role="alert"><h1>{title}</h1><p>{message}</p>
<p class="row"><a class="button main" href="/">To the search</a></p></div></main></body></html>"""
TITLES = {
    400: "That did not work", 403: "Not from here", 404: "Not there", 408: "Too slow",
    413: "Too large", 429: "Busy", 500: "Our mistake", 503: "Not possible now",
}  # fmt: skip
_COLLECTION = re.compile("^/c/[^/]+")  # of another collection's address


def problem(
    status: int, error: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """An error as every route answers it; see `models.Problem`."""
    return JSONResponse({"error": error, "message": message}, status, headers)


def path_within(scope: Scope) -> str:
    """A request's path within the collection that it goes to; see `services`."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def wants_page(scope: Scope) -> bool:
    """Whether a person looks at the answer, and not a program."""
    headers = Headers(scope=scope)
    path = _COLLECTION.sub("", scope["path"])
    looks = "text/html" in headers.get("accept", "") or "hx-request" in headers
    return looks and not path.startswith("/api/")


def refusal(
    scope: Scope, status: int, error: str, message: str, headers: dict[str, str] | None = None
) -> Response:
    """An error before or beyond any route: a plain page for people, JSON for programs.

    The page needs nothing that may be what is broken: no template, no collection.
    """
    if not wants_page(scope):
        return problem(status, error, message, headers)
    title = TITLES.get(status, "That did not work")
    told = f"{message[:1].upper()}{message[1:]}."
    page = ERROR_PAGE.format(title=html.escape(title), message=html.escape(told))
    return HTMLResponse(page, status, headers)


class SecurityHeaders:
    """Gives every answer the headers that keep a browser from doing more than it should."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with)


class Guard:
    """Lets a request through, or answers it with the reason why not."""

    def __init__(self, app: App, settings: Settings, told: Callable[[str], None]) -> None:
        self._app = app
        self._settings = settings
        self._told = told
        self._token = _digest(settings.token)
        self._cookie = cookie_value(settings.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._host(scope, headers) or self._origin(scope, headers)
        if answer is None and self._settings.token and scope["path"] not in OPEN:
            if scope["path"] == LOGIN:
                answer = await self._login(scope, receive)
            elif not self._known(headers):
                self._told("token")
                answer = _ask_for_token(headers)
        if answer is not None:
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _host(self, scope: Scope, headers: Headers) -> Response | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            self._told("host")
            return refusal(scope, 400, "bad_request", "exactly one Host header is needed")
        if self._settings.token or _name(hosts[0]) in LOOPBACK_NAMES:
            return None  # who has a page of another name has no token, and no cookie for that name
        if _name(hosts[0]) == self._settings.host.lower():  # another address of the loopback net
            return None
        self._told("host")
        return refusal(scope, 403, "forbidden", "this service answers to localhost only")

    def _origin(self, scope: Scope, headers: Headers) -> Response | None:
        if scope["method"] in SAFE:
            return None
        site = headers.get("sec-fetch-site", "same-origin")
        origin = headers.get("origin")
        same = origin is None or urlsplit(origin).netloc == headers.get("host", "")
        if site in ("same-origin", "none") and same:
            return None
        self._told("origin")
        return refusal(scope, 403, "forbidden", "another site's page may not change anything here")

    def _known(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(given.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(
            _digest(cookie.value), _digest(self._cookie)
        )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(_digest(given), self._token)

    async def _login(self, scope: Scope, receive: Receive) -> Response:
        """The form that asks browsers for the token, and its answer."""
        if scope["method"] != "POST":
            return _form("This service asks for its token.", 200)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > LOGIN_BYTES or message["type"] == "http.disconnect":
                return problem(413, "too_large", "no token is that long")
            if not message.get("more_body"):
                break
        given = parse_qs(body.decode("latin-1")).get("token", [""])[0]
        if not self._is_token(given):
            self._told("token")
            return _form("That is not the token.", 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            self._cookie,
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="lax",
            secure=scope.get("scheme") == "https",
        )
        return answer


def cookie_value(token: str) -> str:
    """What a browser keeps in place of the token."""
    return hmac.new(token.encode(), b"neuralcodes cookie", hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    """Of one length whatever the text's, so that comparing tells nothing of it."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _name(host: str) -> str:
    """The name of a Host header, without the port."""
    if host.startswith("["):
        name, bracket, _ = host.partition("]")
        return (name + bracket).lower()
    return host.partition(":")[0].lower()


def _ask_for_token(headers: Headers) -> Response:
    if "text/html" in headers.get("accept", ""):
        return _form("This service asks for its token.", 401)
    return problem(
        401, "unauthorized", "give the token: Authorization: Bearer TOKEN",
        {"www-authenticate": "Bearer"},
    )  # fmt: skip


def _form(message: str, status: int) -> Response:
    headers = {"www-authenticate": "Bearer"} if status == 401 else None
    return HTMLResponse(LOGIN_PAGE.format(message=html.escape(message)), status, headers)
