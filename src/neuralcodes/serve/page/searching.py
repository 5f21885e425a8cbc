"""The search page: what is searched by, its results, and the collection where nothing is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from starlette.datastructures import QueryParams

from neuralcodes.collection.lookup import count_images, images_in_order
from neuralcodes.serve import models
from neuralcodes.serve.errors import RefusedError, TooLargeError
from neuralcodes.serve.finding import explained_filter, image_model
from neuralcodes.serve.jobs import ENDED
from neuralcodes.serve.page.facts import facts_of
from neuralcodes.serve.page.rendering import PageRoute, go, render
from neuralcodes.serve.page.wanted import MOST_K, Wanted, crop_of
from neuralcodes.serve.service import Service
from neuralcodes.serve.services import service_of

RANKED = 1000  # results that can be looked at from the first on, for their average precision

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Hit:
    """A result; `so_far`: average precision up to it, where there are labels."""

    match: models.Match
    so_far: float | None


@dataclass(frozen=True)
class Precision:
    """How the results stand by label.

    Attributes:
        found, seen, total: of the query's label among those seen; how many these are; of the
            label in the collection.
        average: their precisions at the ranks of those found, over `total`.
        curve: precision at each rank.
    """

    found: int
    seen: int
    total: int
    average: float
    curve: tuple[float, ...]

    @property
    def points(self) -> str:
        """The curve for an SVG of 100 × 24."""
        step = 100 / max(1, len(self.curve) - 1)
        return " ".join(f"{n * step:.1f},{23 - 22 * p:.1f}" for n, p in enumerate(self.curve))


@dataclass(frozen=True)
class Hiding:
    """A filter, how many pictures it hides by itself, and the search without it."""

    name: str
    count: int
    without: Wanted


@dataclass(frozen=True)
class Pages:
    """Where a page is among others; `last` is None where that is not known beforehand."""

    page: int
    first_item: int
    last_item: int
    total: int | None
    last: int | None
    more: bool


def rank_precision(relevant: Sequence[bool], total: int) -> tuple[list[float], Precision]:
    """Average precision up to each rank, and all of it.

    Args:
        relevant: by rank.
        total: relevant images in the collection, those not seen included.
    """
    found, area = 0, 0.0
    so_far, curve = [], []
    for rank, good in enumerate(relevant, start=1):
        found += good
        area += good * found / rank
        so_far.append(area / total if total else 0.0)
        curve.append(found / rank)
    average = so_far[-1] if so_far else 0.0
    return so_far, Precision(found, len(relevant), total, average, tuple(curve))


@router.get("/")
def search(request: Request) -> Response:
    """Results, or the collection's pictures where nothing is searched by."""
    wanted = Wanted.read(request.query_params)
    service = service_of(request)
    show = _results if wanted.asks else _browse
    return show(request, service, wanted, _wrong_filter(service, wanted.filter))


@router.post("/find")
def find(
    request: Request,
    file: Annotated[list[UploadFile], File()],
    state: Annotated[str, Form(max_length=20_000)] = "",
    how: Annotated[Literal["new", "more", "unlike"], Form()] = "new",
) -> Response:
    """Take pictures and go to the address of the search by them."""
    service = service_of(request)
    wanted = Wanted.read(QueryParams(state))
    files = [one for one in file if one.filename]
    if not files:
        raise RefusedError("choose a picture first")
    if len(files) > service.settings.pictures:
        raise TooLargeError(f"at most {service.settings.pictures} pictures at once")
    names = [service.upload(one.file.read()).id for one in files]
    if how == "new":
        wanted = wanted.by(upload=names.pop(0))
    for name in names:
        wanted = wanted.unlike(upload=name) if how == "unlike" else wanted.more(upload=name)
    return go(request, wanted.url)


@router.get("/cropped")
def cropped(
    request: Request, left: float, top: float, width: float, height: float
) -> Response:  # fmt: skip
    """From a region in percent to the search by it."""
    wanted = Wanted.read(request.query_params)
    if not wanted.one:
        raise RefusedError("a region goes with one picture, not with several")
    crop = crop_of(left / 100, top / 100, width / 100, height / 100)
    return go(request, wanted.but(crop=crop).url)


def _results(request: Request, service: Service, wanted: Wanted, wrong: str) -> Response:
    if wrong:  # what is searched by is shown all the same
        answer = service.search(replace(wanted, filter="").search(1, 1))
        return _wrong(request, service, wanted, wrong, answer)
    whole = wanted.page * wanted.k <= RANKED
    answer = service.search(wanted.search(wanted.page * wanted.k, 1) if whole else wanted.search())
    matches, precision, so_far = list(answer.matches), None, None
    if whole and matches and answer.relevant_total:
        relevant = [bool(one.relevant) for one in matches]
        so_far, precision = rank_precision(relevant, answer.relevant_total)
    if whole:
        start = (wanted.page - 1) * wanted.k
        matches, so_far = matches[start:], so_far[start:] if so_far else None
    hits = [Hit(one, so_far[n] if so_far else None) for n, one in enumerate(matches)]
    near = [
        one for one in hits if wanted.within is None or one.match.distance <= wanted.within
    ]  # fmt: skip
    count = _passing(service, wanted)
    return render(
        request, "search", "search", "Results",
        wanted=wanted, facts=facts_of(service), most_k=max(MOST_K, wanted.k),
        answer=answer, hits=near, farther=len(hits) - len(near), precision=precision,
        passing=count, hiding=_hiding(service, wanted), images=None,
        pages=_pages(wanted, len(near), answer.more and len(near) == len(hits),
                     _reachable(service, wanted, count)),
        empty=None if near else _why_none(wanted, count, hits), wrong="",
    )  # fmt: skip


def _browse(request: Request, service: Service, wanted: Wanted, wrong: str) -> Response:
    if wrong:
        return _wrong(request, service, wanted, wrong, None)
    facts = facts_of(service)
    count = _passing(service, wanted)
    with explained_filter(wanted.condition):
        found = images_in_order(
            service.collection.store, wanted.order, (wanted.page - 1) * wanted.k, wanted.k,
            wanted.condition,
        )  # fmt: skip
    images = [image_model(one, service.root) for one in found]
    empty = None
    if not images:
        working = any(j.kind == "sync" and j.state not in ENDED for j in service.jobs())
        if facts.info.images:
            empty = "filter" if not count else "page"
        else:
            empty = "indexing" if working else "bad" if facts.info.bad else "nothing"
    return render(
        request, "search", "search", "Search",
        wanted=wanted, facts=facts, most_k=max(MOST_K, wanted.k), answer=None, hits=[], farther=0,
        precision=None, passing=count, hiding=_hiding(service, wanted), images=images,
        pages=_pages(wanted, len(images), wanted.page * wanted.k < count, count),
        empty=empty, wrong="",
    )  # fmt: skip


def _wrong_filter(service: Service, text: str) -> str:
    """What is wrong with a condition, by itself; empty if nothing is."""
    try:
        service.check_filter(text)
    except RefusedError as error:
        return error.message
    return ""


def _wrong(
    request: Request, service: Service, wanted: Wanted, wrong: str, answer: models.Answer | None
) -> Response:
    """The page with the condition as it was typed, and what is wrong with it."""
    return render(
        request, "search", "search", "Filter", 400,
        wanted=wanted, facts=facts_of(service), most_k=max(MOST_K, wanted.k), answer=answer,
        hits=[], farther=0, precision=None, passing=0, hiding=[], images=None, empty="wrong",
        wrong=wrong, pages=Pages(1, 0, 0, None, None, False),
    )  # fmt: skip


def _passing(service: Service, wanted: Wanted) -> int:
    """Images that the filters let through."""
    with explained_filter(wanted.condition):
        return count_images(service.collection.store, wanted.condition)


def _hiding(service: Service, wanted: Wanted) -> list[Hiding]:
    """What each of several filters hides; of one by itself that is all that is hidden."""
    if len(wanted.picks) + bool(wanted.filter) < 2:
        return []
    total = facts_of(service).info.images
    alone = [
        (f"{column} “{value}”", Wanted(picks=((column, value),)), wanted.unpicked(column))
        for column, value in wanted.picks
    ]
    if wanted.filter:
        alone.append(("the condition", Wanted(filter=wanted.filter), wanted.but(filter="")))
    return [Hiding(name, total - _passing(service, one), rest) for name, one, rest in alone]


def _reachable(service: Service, wanted: Wanted, passing: int) -> int | None:
    if wanted.exclude or wanted.exclude_upload or wanted.within is not None or wanted.condition:
        return None  # hidden ones may or may not be among those that pass
    return min(passing - len(wanted.id), service.settings.most)


def _pages(wanted: Wanted, shown: int, more: bool, total: int | None) -> Pages:
    first = (wanted.page - 1) * wanted.k + 1
    last = None if total is None else max(1, math.ceil(total / wanted.k))
    return Pages(wanted.page, first, first + shown - 1, total, last, more)


def _why_none(wanted: Wanted, passing: int, hits: Sequence[Hit]) -> str:
    """Which of the reasons for no results it is."""
    if hits:
        return "within"
    if wanted.condition and not passing:
        return "filter"
    if wanted.page > 1:
        return "page"
    if wanted.exclude or wanted.exclude_upload:
        return "unlike"
    return "filtered" if wanted.condition else "alone"


def back_of(request: Request) -> Wanted:
    """The search from which a page was come to (its parameter `back`)."""
    return Wanted.read(QueryParams(request.query_params.get("back", "")[:20_000]))
