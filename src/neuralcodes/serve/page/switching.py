"""The same search in another collection that is served beside: another layer, another network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from neuralcodes.serve.errors import RefusedError
from neuralcodes.serve.page.rendering import PageRoute, services_of
from neuralcodes.serve.page.wanted import Wanted
from neuralcodes.serve.service import Service
from neuralcodes.serve.services import service_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/switch")
def switch(
    request: Request, to: Annotated[str, Query(min_length=1, max_length=300)]
) -> Response:  # fmt: skip
    """From a search to the same one elsewhere."""
    there = services_of(request).of(to)
    wanted = switched(Wanted.read(request.query_params), service_of(request), there)
    return RedirectResponse(f"{there.root}{wanted.url}", 303)


def switched(wanted: Wanted, here: Service, there: Service) -> Wanted:
    """A search as another collection can do it.

    A picture is searched by its image there, if its content is there, else by an upload of it. The
    words, the region and results a page stay; a largest distance does not: those of another code
    are other distances. Of the filters those stay that name columns which it has.

    Raises:
        NotFoundError: a picture that is not there and cannot be read here.
    """
    ids, uploads = _carried(wanted.id, here, there)
    unlike_ids, unlike_uploads = _carried(wanted.exclude, here, there)
    carried = wanted.but(
        id=ids,
        upload=(*wanted.upload, *(one for one in uploads if one not in wanted.upload)),
        exclude=unlike_ids,
        exclude_upload=(*wanted.exclude_upload, *unlike_uploads),
        picks=tuple(pick for pick in wanted.picks if _can_filter(there, Wanted(picks=(pick,)))),
        within=None,
    )
    return carried if _can_filter(there, carried) else replace(carried, filter="")


def _carried(
    images: Sequence[int], here: Service, there: Service
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Ids there, and uploads of what is not there."""
    found = [here.carry(number, there) for number in images]
    ids = dict.fromkeys(one for one in found if isinstance(one, int))
    return tuple(ids), tuple(dict.fromkeys(one for one in found if isinstance(one, str)))


def _can_filter(service: Service, wanted: Wanted) -> bool:
    try:
        service.check_filter(wanted.condition)
    except RefusedError:
        return False
    return True
