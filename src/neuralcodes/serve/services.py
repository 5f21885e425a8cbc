"""`Services`: one or several collections served together, each at an address of its own.

The first has the plain addresses. Each of the others has all of them once more below
/c/NAME: its page is /c/NAME/, its API /c/NAME/api/v1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from neuralcodes.collection.collection import Collection
from neuralcodes.common.errors import UserError
from neuralcodes.serve import models
from neuralcodes.serve.errors import NotFoundError
from neuralcodes.serve.service import Service
from neuralcodes.serve.settings import Settings
from neuralcodes.serve.shared import Shared

ROOT = "/c/"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class Services:
    """Collections, served.

    Args:
        collections: open; at least one.
        settings: limits of all together.

    Attributes:
        shared: what they share.
        first: the one with the plain addresses.
        all: every one, by name.

    Raises:
        UserError: one of them twice, or no place for the cache.
    """

    def __init__(self, collections: Sequence[Collection], settings: Settings) -> None:
        places = [one.path.resolve() for one in collections]
        for place in places:
            if places.count(place) > 1:
                raise UserError(f"{place.name}: named twice; name each collection once")
        self.shared = Shared.of(settings)
        names = names_of([one.path for one in collections])
        roots = ["", *(f"{ROOT}{name}" for name in names[1:])]
        self.all = {
            name: Service(collection, settings, self.shared, name, root)
            for name, root, collection in zip(names, roots, collections, strict=True)
        }
        self.first = self.all[names[0]]

    def start(self) -> None:
        """Start the decoders, and open the networks in the background."""
        self.shared.decoders.start()
        for service in self.all.values():
            service.start()

    def drain(self) -> None:
        """The end is near: not ready any more, and long jobs stop with what they have done."""
        for service in self.all.values():
            service.drain()

    def close(self) -> None:
        """Finish what was begun, and let go of everything."""
        self.drain()
        for service in self.all.values():
            service.close()
        self.shared.decoders.close()

    def ready(self) -> models.Ready:
        """Whether every part of every collection can do its work."""
        if len(self.all) == 1:
            return self.first.ready()
        parts = {
            f"{name}: {part}": state
            for name, service in self.all.items()
            for part, state in service.ready().parts.items()
        }
        return models.Ready(ready=set(parts.values()) == {"ok"}, parts=parts)

    def listing(self) -> models.Collections:
        """All of them, the first first."""
        return models.Collections(
            collections=[
                models.Served(
                    name=name,
                    root=service.root,
                    code=service.collection.spec.name,
                    fingerprint=service.collection.spec.fingerprint(),
                    images=len(service.collection),
                )
                for name, service in self.all.items()
            ]
        )

    def of(self, name: str) -> Service:
        """One by its name.

        Raises:
            NotFoundError: there is none.
        """
        if name not in self.all:
            raise NotFoundError(f"no collection {name[:64]!r} is served here")
        return self.all[name]


def service_of(request: Request) -> Service:
    """The service behind a request; `Choose` put it there."""
    service: Service = request.scope["service"]
    return service


class Choose:
    """Gives each request its `Service`, by the beginning of its path; innermost of all."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. A name that is none keeps its path, for which there is no route."""
        if scope["type"] == "http":
            name = scope["path"].removeprefix(ROOT).partition("/")[0]
            chosen = self._services.all.get(name) if scope["path"].startswith(ROOT) else None
            if chosen is not None:
                scope["root_path"] = f"{ROOT}{name}"
            scope["service"] = chosen or self._services.first
        await self._app(scope, receive, send)


def names_of(paths: Sequence[Path]) -> list[str]:
    """A name for an address each: its folder's without ".nc"; a number makes equal ones differ."""
    names: list[str] = []
    for path in paths:
        stem = _UNSAFE.sub("-", path.resolve().name.removesuffix(".nc")).strip("-") or "collection"
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names
