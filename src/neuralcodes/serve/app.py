"""`create_app`: the whole service as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

import neuralcodes
from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError
from neuralcodes.serve import api, models
from neuralcodes.serve.docs import add_docs
from neuralcodes.serve.errors import RefusedError
from neuralcodes.serve.limits import Limits, Watch
from neuralcodes.serve.page import add_page
from neuralcodes.serve.security import Guard, SecurityHeaders, problem
from neuralcodes.serve.services import Choose, Services
from neuralcodes.serve.settings import Settings

_NAMES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 408: "too_slow",
          413: "too_large", 429: "busy"}  # fmt: skip


def create_app(
    collection: Collection, settings: Settings, others: Sequence[Collection] = ()
) -> FastAPI:
    """An application that serves a collection, or several together.

    Its `state.services` are the `Services`, its `state.service` the first's `Service`.

    Args:
        collection: open; it has the plain addresses.
        settings: limits of all together.
        others: such as other codes of the same pictures; see `services`.

    Raises:
        UserError: settings that would be unsafe, one collection twice, or no place for the cache.
    """
    settings.check()
    services = Services([collection, *others], settings)
    metrics = services.shared.metrics

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.threads
        await run_in_threadpool(services.start)
        yield
        await run_in_threadpool(services.close)

    app = FastAPI(
        title="neuralcodes",
        version=neuralcodes.__version__,
        description="Search a collection of pictures by neural codes.",
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=_servers(services),
    )
    app.state.services = services
    app.state.service = services.first
    _add_errors(app)
    _add_health(app, services)
    app.include_router(api.router)
    add_docs(app)
    add_page(app)
    app.add_middleware(Choose, services=services)
    app.add_middleware(Limits, settings=settings, metrics=metrics)
    app.add_middleware(
        Guard, settings=settings, told=lambda reason: metrics.refused.labels(reason).inc()
    )
    app.add_middleware(Watch, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    return app


def _servers(services: Services) -> list[dict[str, str]] | None:
    """For the OpenAPI document: the same operations at each collection's address."""
    if len(services.all) == 1:
        return None
    return [
        {"url": service.root or "/", "description": f"{name} ({service.code})"}
        for name, service in services.all.items()
    ]


def _add_errors(app: FastAPI) -> None:
    """Every error is a `models.Problem`."""

    @app.exception_handler(RefusedError)
    def refused(_: Request, error: RefusedError) -> Response:
        headers = {"retry-after": str(error.retry_after)} if error.retry_after else None
        return problem(error.status, error.error, error.message, headers)

    @app.exception_handler(UserError)
    def not_possible(_: Request, error: UserError) -> Response:
        return problem(503, "unavailable", " ".join(str(error).split()))

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return problem(422, "invalid", f"{place}: {first['msg']}"[:500])

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> Response:
        name = _NAMES.get(error.status_code, "refused")
        return problem(error.status_code, name, str(error.detail), dict(error.headers or {}))


def _add_health(app: FastAPI, services: Services) -> None:
    @app.get("/healthz", response_model=models.Health, tags=["health"], operation_id="health")
    async def healthz() -> Response:
        """The process lives."""
        return api.send(models.Health(status="ok", version=neuralcodes.__version__))

    @app.get(
        "/readyz", response_model=models.Ready, tags=["health"], operation_id="ready",
        responses={503: {"model": models.Ready}},
    )  # fmt: skip
    def readyz() -> Response:
        """Every part can do its work: the network is open, the collection can be read."""
        ready = services.ready()
        return api.send(ready, 200 if ready.ready else 503)

    @app.get(
        "/metrics", tags=["health"], operation_id="metrics", response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    def metrics() -> Response:
        """For Prometheus."""
        return Response(services.shared.metrics.text(), media_type="text/plain; version=0.0.4")
