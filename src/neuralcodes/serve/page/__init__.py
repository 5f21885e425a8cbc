"""The page: HTML over the same `Service` that the API has."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import RedirectResponse

from neuralcodes.serve.service import Service


def add_page(app: FastAPI, service: Service) -> None:
    """Add the page's routes to the application."""

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/docs", 303)
