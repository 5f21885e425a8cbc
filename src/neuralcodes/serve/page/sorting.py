"""Duplicates: groups, one at its own address, with choices that are remembered and undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Path, Query, Request, Response

from neuralcodes.serve import models
from neuralcodes.serve.errors import NotFoundError, RefusedError
from neuralcodes.serve.page.rendering import PageRoute, go, render, shown_bytes
from neuralcodes.serve.services import service_of

GROUPS = 24  # a page
DECISIONS = 50

Key = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
Done = Annotated[str, Query(pattern="^([0-9a-f]{64})?$")]

router = APIRouter(prefix="/duplicates", route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Detail:
    """A detail in which the pictures of a group differ: its name and each picture's."""

    name: str
    values: tuple[str, ...]


@router.get("")
def duplicates(
    request: Request,
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
    undecided: bool = False,
    done: Done = "",
) -> Response:
    """All groups, or the way to find them."""
    service = service_of(request)
    found = service.duplicates.page(page, GROUPS, undecided)
    job = None
    if found.job is not None:
        try:
            job = service.job(found.job)
        except NotFoundError:
            job = None
    reachable = found.undecided if undecided else found.total
    return render(
        request, "duplicates", "duplicates", "Duplicates",
        found=found, job=job, undecided=undecided, done=_done(request, done),
        decided=service.duplicates.decided(count=0)[1], last=max(1, -(-reachable // GROUPS)),
    )  # fmt: skip


@router.get("/decided")
def decided(request: Request, page: Annotated[int, Query(ge=1, le=10**6)] = 1) -> Response:
    """Every choice made, each with its undo."""
    shown, count = service_of(request).duplicates.decided((page - 1) * DECISIONS, DECISIONS)
    return render(
        request, "decided", "duplicates", "Choices made",
        decided=shown, at=page, last=max(1, -(-count // DECISIONS)),
    )  # fmt: skip


@router.get("/{key}")
def group(request: Request, key: Key, done: Done = "") -> Response:
    """One group."""
    return _group(request, key, done)


@router.post("/{key}")
def choose(
    request: Request,
    key: Key,
    choice: Annotated[Literal["keep", "skip", "different"], Form()],
    keep: Annotated[list[models.Id] | None, Form()] = None,
) -> Response:
    """Decide, and go on to the next group that is not decided."""
    duplicates = service_of(request).duplicates
    ticked = keep or []
    try:
        duplicates.decide(
            models.GroupDecision(key=key, choice=choice, keep=ticked if choice == "keep" else [])
        )
    except NotFoundError:
        raise
    except RefusedError as error:
        return _group(request, key, wrong=error.message, status=error.status, ticked=ticked)
    onward = duplicates.place(key).undecided
    return go(request, f"/duplicates{f'/{onward}' if onward else ''}?done={key}")


@router.post("/{key}/undo")
def undo(request: Request, key: Key) -> Response:
    """Take a choice back, and go to its group."""
    duplicates = service_of(request).duplicates
    duplicates.take_back(key)
    try:
        duplicates.place(key)
    except NotFoundError:
        return go(request, "/duplicates/decided")
    return go(request, f"/duplicates/{key}")


def _group(
    request: Request, key: str, done: str = "", wrong: str = "", status: int = 200,
    ticked: list[int] | None = None,
) -> Response:  # fmt: skip
    duplicates = service_of(request).duplicates
    found = duplicates.group(key)
    if ticked is None:
        ticked = list(found.keep) or [image.id for image in found.images[:1]]
    return render(
        request, "group", "group", "Duplicates", status,
        group=found, place=duplicates.place(key), details=differing(found.images), ticked=ticked,
        wrong=wrong, done=_done(request, done),
    )  # fmt: skip


def _done(request: Request, key: str) -> tuple[str, str] | None:
    """The choice just made, in words, with its group's key."""
    if not key:
        return None
    decision = service_of(request).duplicates.decision(key)
    if decision is None:
        return None
    if decision.choice == "keep":
        gone = len(decision.images) - len(decision.keep)
        return key, f"{len(decision.keep)} kept, {gone} may go"
    return key, "skipped" if decision.choice == "skip" else "not the same; remembered"


def differing(images: list[models.Image]) -> list[Detail]:
    """The details in which pictures differ, and no others."""
    readings: list[tuple[str, Callable[[models.Image], str]]] = [
        ("folder", lambda image: image.path.rpartition("/")[0]),
        ("pixels", lambda image: f"{image.width} × {image.height}"),
        ("size", lambda image: shown_bytes(image.size)),
        ("kind", lambda image: image.kind),
        ("date", lambda image: image.date[:16].replace("T", " ")),
    ]
    own = dict.fromkeys(name for image in images for name in image.metadata)
    readings += [
        (name, lambda image, name=name: str(image.metadata.get(name, "–")))  # type: ignore[misc]
        for name in own
    ]
    found = [Detail(name, tuple(map(read, images))) for name, read in readings]
    return [detail for detail in found if len(set(detail.values)) > 1]
