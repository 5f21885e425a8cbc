"""/docs: Swagger UI over the OpenAPI document, from files that lie here; nothing from outside."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Response

from neuralcodes.common.errors import needs_extra
from neuralcodes.serve.errors import NotFoundError
from neuralcodes.serve.security import DOCS_POLICY

FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>neuralcodes API</title>
<meta name="viewport" content="width=device-width">
<link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script></body></html>"""
START = """SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true,
validatorUrl: null, presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"});"""


def add_docs(app: FastAPI) -> None:
    """Add the routes."""
    folder = swagger_folder()

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(
            PAGE, media_type="text/html", headers={"content-security-policy": DOCS_POLICY}
        )

    @app.get("/docs/{name}", include_in_schema=False)
    def docs_file(name: str) -> Response:
        kept = {"cache-control": "private, max-age=86400"}
        if name == "start.js":
            return Response(START, media_type="text/javascript", headers=kept)
        if name not in FILES:
            raise NotFoundError("no such page")
        return Response((folder / name).read_bytes(), media_type=FILES[name], headers=kept)


def swagger_folder() -> Path:
    """Where the package `fastapi-offline` has Swagger UI's files.

    Raises:
        UserError: it is not installed.
    """
    found = find_spec("fastapi_offline")
    if found is None or found.origin is None:
        raise needs_extra("fastapi-offline", "serve")
    return Path(found.origin).parent / "static"
