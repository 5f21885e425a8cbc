"""Templates, and the answer that a page is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from neuralcodes.collection.results import shown_probability
from neuralcodes.common.errors import UserError
from neuralcodes.reports import wording
from neuralcodes.serve.errors import NotFoundError, RefusedError
from neuralcodes.serve.jobs import ENDED
from neuralcodes.serve.page.keys import keys_of
from neuralcodes.serve.page.wanted import Wanted
from neuralcodes.serve.service import Service

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


def service_of(request: Request) -> Service:
    """The service behind a request."""
    service: Service = request.app.state.service
    return service


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
    html = environment().get_template(f"{template}.html.j2").render(
        page=page,
        title=title,
        keys=keys_of(page),
        collection=service.collection.path.name,
        running=running,
        **{"wanted": Wanted(), **content},
    )  # fmt: skip
    return HTMLResponse(html, status)


REMEDIES = {
    404: "It may have left the collection, or the address may be mistyped.",
    413: "Try a smaller picture.",
    422: "Try another picture; JPEG, PNG, WebP, GIF and TIFF are among those that are read.",
    429: "Too much is going on at once. Wait a moment and reload this page.",
    503: "Part of the service cannot work now. Wait a moment and reload this page.",
}


def problem_page(request: Request, status: int, message: str) -> Response:
    """What went wrong and what to do next."""
    titles = {404: "Not there", 429: "Busy", 503: "Not possible now", 500: "Our mistake"}
    return render(
        request, "problem", "problem", titles.get(status, "That did not work"), status,
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
