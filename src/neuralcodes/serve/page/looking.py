"""One picture: its details, a region of it to search by, and why it matched."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from neuralcodes.serve import models
from neuralcodes.serve.errors import RefusedError
from neuralcodes.serve.explaining import MOST
from neuralcodes.serve.finding import asked_upload
from neuralcodes.serve.page.rendering import PageRoute, render
from neuralcodes.serve.page.searching import back_of
from neuralcodes.serve.page.wanted import Wanted
from neuralcodes.serve.service import Service
from neuralcodes.serve.services import service_of

Id = Annotated[int, Query(ge=1, le=2**53 - 1)]

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/image/{number}")
def image(request: Request, number: int, rank: int = 0) -> Response:
    """What is known of an image, and what can be done with it."""
    service = service_of(request)
    found = service.image(number)
    bad = None
    if found.content is None:
        bad = next((one.reason for one in service.bad() if one.path == found.path), "unknown")
    return render(
        request, "image", "image", found.name,
        image=found, back=back_of(request), rank=rank, bad=bad,
        wanted=Wanted(id=(found.id,)),
    )  # fmt: skip


@router.get("/crop")
def crop(request: Request) -> Response:
    """Draw a region of the picture that is searched by."""
    wanted = Wanted.read(request.query_params)
    if not wanted.one:
        raise RefusedError("a region goes with one picture, not with several")
    asked = _asked(service_of(request), *wanted.id, *wanted.upload)
    left, top, width, height = wanted.crop or (0.2, 0.2, 0.6, 0.6)
    region = {"left": left, "top": top, "width": width, "height": height}
    return render(
        request, "crop", "crop", "Search by a region", wanted=wanted, asked=asked,
        region={name: round(100 * value, 1) for name, value in region.items()},
    )  # fmt: skip


@router.get("/why")
def why(
    request: Request,
    image: Id,
    by: Annotated[list[models.Id] | None, Query()] = None,
    rank: int = 0,
    now: bool = False,
) -> Response:
    """Heat maps of a result and of all that was searched by.

    They take seconds; so the page comes without them, and asks for itself with them (`now`).
    """
    service = service_of(request)
    # in the address of a search images are `id`, which here could be the result
    given = replace(Wanted.read(request.query_params), id=tuple(dict.fromkeys(by or ())))
    which: list[int | str] = [*given.id, *given.upload]
    if not which:
        raise RefusedError("give by (an image's id) or upload")
    if len(which) > MOST:
        raise RefusedError(f"at most {MOST} pictures can be explained together")
    found = service.image(image)
    explained = None
    if now:
        explained = service.explain(image, given.id, given.upload, given.search().crop)
    return render(
        request, "why", "why", f"Why {found.name}?",
        image=found, asked=[_asked(service, one) for one in which], explained=explained,
        back=back_of(request), given=given, rank=rank,
        told=_told(explained) if explained else "",
    )  # fmt: skip


def _asked(service: Service, which: int | str) -> models.Asked:
    """An image by its id, or an upload by its name."""
    if isinstance(which, str):
        return asked_upload(which, service.root)
    found = service.image(which)
    return models.Asked(
        kind="image", name=found.name, id=found.id, thumbnail=found.thumbnail, label=found.label
    )


def _told(explained: models.Explanation) -> str:
    """The maps in words, for those who do not see them."""
    asked = [one.map for one in explained.queries]
    names = ["query"] if len(asked) == 1 else [f"query {n}" for n in range(1, len(asked) + 1)]
    maps = [*zip(names, asked, strict=True), ("result", explained.image)]
    parts = [
        f"in the {name} most of it comes from the {_place(values)}"
        for name, values in maps
        if max(map(max, values)) > 0
    ]
    if not parts:
        return "No part of any picture carries it by itself."
    *most, last = parts
    told = f"{', '.join(most)} and {last}" if most else last
    return f"{told}.".capitalize()


def _place(values: list[list[float]]) -> str:
    """Where the weight of a map's positive part lies."""
    total = sum(max(value, 0.0) for row in values for value in row)
    rows, columns = len(values), len(values[0])
    down = sum(max(v, 0.0) * (r + 0.5) for r, row in enumerate(values) for v in row) / total / rows
    along = sum(max(v, 0.0) * (c + 0.5) for row in values for c, v in enumerate(row))
    across = along / total / columns
    vertical = "upper" if down < 0.42 else "lower" if down > 0.58 else ""
    horizontal = "left" if across < 0.42 else "right" if across > 0.58 else ""
    return f"{' '.join(part for part in (vertical, horizontal) if part) or 'middle'} part"
