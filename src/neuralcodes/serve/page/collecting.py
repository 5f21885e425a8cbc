"""The collection's state, and long work upon it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile

from neuralcodes.serve import models
from neuralcodes.serve.errors import RefusedError, TooLargeError
from neuralcodes.serve.page.facts import facts_of
from neuralcodes.serve.page.rendering import PageRoute, go, render
from neuralcodes.serve.services import service_of

BAD = 100  # files a page

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/collection")
def collection(
    request: Request,
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
    added: Annotated[str, Query(pattern=r"^(\d{1,15}(,\d{1,15})*)?$", max_length=5000)] = "",
    known: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """What there is: images, codes, index and its recall, files that could not be read."""
    service = service_of(request)
    bad = service.bad()
    return render(
        request, "collection", "collection", "Collection",
        info=facts_of(service).info, bad=bad[(page - 1) * BAD : page * BAD], count=len(bad),
        first=(page - 1) * BAD, at=page, last=max(1, -(-len(bad) // BAD)),
        added=[int(number) for number in added.split(",") if number], known=known,
    )  # fmt: skip


@router.post("/collection/add")
def add(request: Request, file: Annotated[list[UploadFile], File()]) -> Response:
    """Add pictures; they are on disk when this answers."""
    service = service_of(request)
    files = [(one.filename, one.file.read()) for one in file if one.filename]
    if not files:
        raise RefusedError("choose pictures first")
    if len(files) > service.settings.pictures:
        raise TooLargeError(f"at most {service.settings.pictures} pictures at once")
    made = service.add([(str(name), data) for name, data in files]).images
    new = ",".join(str(one.id) for one in made if one.new)
    known = sum(not one.new for one in made)
    return go(request, f"/collection?added={new}&known={known}")


@router.post("/collection/remove")
def remove(request: Request, image: Annotated[list[models.Id], Form(max_length=1000)]) -> Response:
    """Take out what was just added."""
    service_of(request).remove(image)
    return go(request, "/collection")


@router.get("/jobs")
def jobs(request: Request) -> Response:
    """Long work, the newest first."""
    return render(request, "jobs", "jobs", "Jobs", jobs=service_of(request).jobs())


@router.post("/jobs")
def start(
    request: Request,
    kind: Annotated[Literal["sync", "retry", "compact", "duplicates", "recalibrate"], Form()],
) -> Response:
    """Begin long work, and go to its page."""
    service = service_of(request)
    if kind in ("sync", "retry"):
        job = service.sync(retry_bad=kind == "retry")
    elif kind == "compact":
        job = service.compact()
    else:
        job = service.duplicates.find(recalibrate=kind == "recalibrate")
    return go(request, f"/jobs/{job.number}")


@router.get("/jobs/{number}")
def job(request: Request, number: int) -> Response:
    """How far a job is."""
    found = service_of(request).job(number)
    return render(request, "job", "job", f"Job {number}", job=found)


@router.post("/jobs/{number}/stop")
def stop(request: Request, number: int) -> Response:
    """Stop it; what it has done is kept."""
    service_of(request).stop(number)
    return go(request, f"/jobs/{number}")
