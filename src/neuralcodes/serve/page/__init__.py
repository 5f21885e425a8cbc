"""The page: HTML over the same `Service` that the API has, a module for each section.

In: requests of people's browsers.  Out: `add_page`, which adds the page's routes.

Every search, region, filter and page of results is an address; forms that change something answer
with a redirect to one. It works without scripts but for dropping, drawing and the map; htmx
(vendored in `static`, 0BSD) swaps parts in place. `keys` is the one table of keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from neuralcodes.serve.page import (
    collecting,
    looking,
    mapping,
    quality,
    searching,
    sorting,
    switching,
)
from neuralcodes.serve.page.rendering import FILES, problem_page, static_file
from neuralcodes.serve.security import path_within

YEAR = 31_536_000


def add_page(app: FastAPI) -> None:
    """Add the page's routes to the application."""
    for part in (searching, looking, sorting, mapping, quality, collecting, switching):
        app.include_router(part.router)

    @app.get("/page/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        data, tag = static_file(name)
        headers = {"cache-control": f"private, max-age={YEAR}, immutable", "etag": f'"{tag}"'}
        return Response(data, media_type=FILES[name], headers=headers)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        data, _ = static_file("icon.svg")
        return Response(data, media_type=FILES["icon.svg"])

    as_json = cast(Callable[[Request, Exception], Response], app.exception_handlers[HTTPException])

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        """For people who mistype an address."""
        html = "text/html" in request.headers.get("accept", "")
        if not html or path_within(request.scope).startswith("/api/"):
            return await run_in_threadpool(as_json, request, error)
        message = "there is no page here" if error.status_code == 404 else str(error.detail)
        return await run_in_threadpool(problem_page, request, error.status_code, message)
