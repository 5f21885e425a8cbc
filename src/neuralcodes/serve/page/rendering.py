"""Templates, and the answer that a page is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from neuralcodes.collection.results import shown_probability
from neuralcodes.common.errors import UserError
from neuralcodes.reports import wording
from neuralcodes.serve.errors import NotFoundError, RefusedError
from neuralcodes.serve.jobs import ENDED
from neuralcodes.serve.page.keys import keys_of
from neuralcodes.serve.page.wanted import Wanted
from neuralcodes.serve.security import TITLES
from neuralcodes.serve.service import Service
from neuralcodes.serve.services import Services, service_of

STATIC = Path(__file__).parent / "static"
FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "crop.js": "text/javascript",
    "map.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
SECTIONS = (
    ("search", "/", "Search"),
    ("duplicates", "/duplicates", "Duplicates"),
    ("map", "/map", "Map"),
    ("quality", "/quality", "Quality"),
    ("collection", "/collection", "Collection"),
    ("jobs", "/jobs", "Jobs"),
)


@cache
def static_file(name: str) -> tuple[bytes, str]:
    """A file of the page and a tag that changes with it.

    Raises:
        NotFoundError: there is none of that name.
    """
    if name not in FILES:
        raise NotFoundError("no such page")
    data = (STATIC / name).read_bytes()
    return data, hashlib.sha256(data).hexdigest()[:12]


def static_url(name: str) -> str:
    """Where a file of the page is."""
    return f"/page/{name}?v={static_file(name)[1]}"


@cache
def environment() -> Environment:
    """The templates."""
    made = Environment(
        loader=PackageLoader("neuralcodes.serve.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., str]] = {
        "fraction": wording.fraction,
        "percent": wording.percent,
        "plural": wording.plural,
        "duration": wording.duration,
        "probability": shown_probability,
        "distance": shown_distance,
        "bytes": shown_bytes,
        "day": lambda text: text[:10],
        "moment": lambda at: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC",
    }
    made.filters.update(filters)
    made.globals.update(static=static_url, sections=SECTIONS)
    return made


def shown_distance(value: float) -> str:
    """0.41234 → "0.412"; three digits also near 0."""
    return f"{value:.3f}" if value >= 0.001 or value == 0 else f"{value:.1e}"


def shown_bytes(count: int) -> str:
    """1536 → "1.5 kB"."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"


def services_of(request: Request) -> Services:
    """All that are served together."""
    services: Services = request.app.state.services
    return services


def go(request: Request, path: str) -> Response:
    """On to another page of the same collection, after a form."""
    return RedirectResponse(f"{service_of(request).root}{path}", 303)


def render(
    request: Request, template: str, page: str, title: str, status: int = 200, **content: Any
) -> Response:
    """A page.

    Args:
        template: its file, without the ending.
        page: its name in `keys` and, for the first ones, in `SECTIONS`.
        title: of the window.
        content: for the template.
    """
    service = service_of(request)
    running = [job for job in service.jobs() if job.state not in ENDED]
    served = list(services_of(request).all.values())
    several = len(served) > 1
    html = environment().get_template(f"{template}.html.j2").render(
        page=page,
        title=title,
        keys=keys_of(page, several),
        root=service.root,
        code=service.code,
        collection=service.collection.path.name,
        served=[(one, one is service) for one in served] if several else [],
        next_served=served[(served.index(service) + 1) % len(served)].name,
        switch_url=lambda other: _switch_url(service, other, page, {"wanted": Wanted(), **content}),
        running=running,
        **{"wanted": Wanted(), **content},
    )  # fmt: skip
    return HTMLResponse(html, status)


def _switch_url(here: Service, there: Service, page: str, content: Mapping[str, Any]) -> str:
    """The same section of another collection, or the same search in it."""
    home = {name: url for name, url, _ in SECTIONS} | {"group": "/duplicates", "job": "/jobs"}
    if page in home and page != "search":
        return f"{there.root}{home[page]}"
    wanted = content["back"] if page == "why" else content["wanted"]
    if there is here or not wanted.pairs():
        return f"{there.root}{wanted.url}"
    return f"{here.root}/switch?{urlencode({'to': there.name})}&{wanted.query}"


REMEDIES = {
    404: "It may have left the collection, or the address may be mistyped.",
    413: "Try a smaller picture.",
    422: "Try another picture; JPEG, PNG, WebP, GIF and TIFF are among those that are read.",
    429: "Too much is going on at once. Wait a moment and reload this page.",
    503: "Part of the service cannot work now. Wait a moment and reload this page.",
}


def problem_page(request: Request, status: int, message: str) -> Response:
    """What went wrong and what to do next."""
    return render(
        request, "problem", "problem", TITLES.get(status, "That did not work"), status,
        message=message, remedy=REMEDIES.get(status, ""),
    )  # fmt: skip


class PageRoute(APIRoute):
    """A route whose refusals are pages."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The handler that answers refusals."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            from starlette.concurrency import run_in_threadpool

            try:
                return await handler(request)
            except RefusedError as error:
                status, message = error.status, error.message
            except UserError as error:
                status, message = 503, " ".join(str(error).split())
            except RequestValidationError as error:
                first = error.errors()[0]
                status, message = 422, f"{first['loc'][-1]}: {first['msg']}"[:500]
            return await run_in_threadpool(problem_page, request, status, message)

        return handle
