"""The JSON routes, under /api/v1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Path, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from neuralcodes.serve import models
from neuralcodes.serve.api_models import (
    Batch,
    BatchLine,
    CropText,
    JobRequest,
    SearchQuery,
    parse_crop,
)
from neuralcodes.serve.errors import RefusedError, TooLargeError
from neuralcodes.serve.explaining import MOST
from neuralcodes.serve.finding import API
from neuralcodes.serve.service import Service, job_model
from neuralcodes.serve.services import Services, service_of

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.Problem, "description": text}
    for status, text in {
        400: "It asks for something that cannot be",
        401: "The token is missing or wrong",
        403: "From another site, or to another name",
        404: "No such thing",
        408: "The body was too slow",
        409: "It does not go with the present state",
        413: "Too many bytes or pixels",
        422: "Not of the right form, or no picture",
        429: "Too much at once; Retry-After says when to try again",
        503: "A part of the service cannot do its work now",
    }.items()
}
PROBLEMS[429]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "As you have it"},
}
LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}
}
YEAR = 31_536_000

Number = Annotated[int, Path(ge=1, le=2**53 - 1)]
UploadName = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
By = Annotated[list[models.Id] | None, Query(max_length=MOST)]
ByUpload = Annotated[list[models.UploadId] | None, Query(max_length=MOST)]
Files = Annotated[list[UploadFile], File(description="pictures", min_length=1)]
router = APIRouter(prefix=API, responses=PROBLEMS)


def send(model: BaseModel, status: int = 200) -> Response:
    """A model as JSON; it was checked when it was made."""
    return Response(model.model_dump_json(), status, media_type="application/json")


def read_files(service: Service, files: list[UploadFile]) -> list[tuple[str, bytes]]:
    """Names and bytes of uploaded files.

    Raises:
        TooLargeError: too many of them.
    """
    if len(files) > service.settings.pictures:
        raise TooLargeError(f"at most {service.settings.pictures} pictures in a request")
    return [(file.filename or "", file.file.read()) for file in files]


@router.get("/search", response_model=models.Answer, tags=["search"], operation_id="search")
def search(request: Request, query: Annotated[SearchQuery, Query()]) -> Response:
    """The images nearest to images of the collection, uploads or a text; the address says all."""
    return send(service_of(request).search(query.search()))


@router.post(
    "/search", response_model=models.Answer, tags=["search"], operation_id="search_pictures"
)
def search_pictures(
    request: Request, query: Annotated[SearchQuery, Query()], file: Files
) -> Response:
    """The same by pictures sent along, which are not kept."""
    service = service_of(request)
    files = [data for _, data in read_files(service, file)]
    return send(service.search(query.search(), files))


@router.post(
    "/search/batch", tags=["search"], operation_id="search_batch", responses=LINES,
    response_class=StreamingResponse,
)  # fmt: skip
def search_batch(request: Request, batch: Batch) -> StreamingResponse:
    """Many searches; each answer is a line of JSON, sent when it is there."""
    service = service_of(request)

    def lines() -> Iterator[str]:
        for index, query in enumerate(batch.queries):
            try:
                line = BatchLine(index=index, answer=service.search(query))
            except RefusedError as error:
                problem = models.Problem(error=error.error, message=error.message)
                line = BatchLine(index=index, problem=problem)
            yield line.model_dump_json(exclude_none=True) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.post(
    "/uploads", status_code=201, response_model=models.Upload, tags=["search"],
    operation_id="upload",
)  # fmt: skip
def upload(request: Request, file: Annotated[UploadFile, File()]) -> Response:
    """Keep a picture for a while, to be searched by its id; the same picture has the same id."""
    return send(service_of(request).upload(file.file.read()), 201)


@router.get(
    "/uploads/{name}/thumbnail", tags=["search"], operation_id="upload_thumbnail",
    responses=JPEG, response_class=Response,
)  # fmt: skip
def upload_thumbnail(request: Request, name: UploadName, side: models.Side = 160) -> Response:
    """An upload's small picture."""
    made, tag = service_of(request).upload_thumbnail(name, side)
    return _jpeg(request, made, tag, forever=True)


@router.get("/images", response_model=models.ImagePage, tags=["images"], operation_id="images")
def images(
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**53 - 1)] = 0,
    k: Annotated[int, Query(ge=1, le=1000)] = 100,
    filter: Annotated[str | None, Query(min_length=1, max_length=2000)] = None,
) -> Response:
    """Images in order of ids; `next` of the answer is the next page's `after`."""
    return send(service_of(request).images(after, k, filter))


@router.post(
    "/images", status_code=201, response_model=models.AddedImages, tags=["images"],
    operation_id="add",
)  # fmt: skip
def add(
    request: Request,
    file: Files,
    metadata: Annotated[str | None, Form(max_length=20_000, description="a JSON object")] = None,
) -> Response:
    """Add pictures; answered when they are on disk. The collection keeps their files."""
    service = service_of(request)
    return send(service.add(read_files(service, file), _metadata(metadata)), 201)


@router.get("/images/{number}", response_model=models.Image, tags=["images"], operation_id="image")
def image(request: Request, number: Number) -> Response:
    """What is known of an image."""
    return send(service_of(request).image(number))


@router.delete(
    "/images/{number}", response_model=models.Removed, tags=["images"], operation_id="remove_one"
)
def remove_one(request: Request, number: Number) -> Response:
    """Take an image out; it stays out when its folder is indexed again. No file is touched,
    except one that the collection keeps itself.
    """
    return send(models.Removed(removed=service_of(request).remove([number])))


@router.post(
    "/images/remove", response_model=models.Removed, tags=["images"], operation_id="remove"
)
def remove(request: Request, removal: models.Removal) -> Response:
    """Take several out, all or none."""
    return send(models.Removed(removed=service_of(request).remove(sorted(set(removal.ids)))))


@router.get(
    "/images/{number}/thumbnail", tags=["images"], operation_id="thumbnail", responses=JPEG,
    response_class=Response,
)  # fmt: skip
def thumbnail(
    request: Request,
    number: Number,
    side: models.Side = 160,
    v: Annotated[int | None, Query(ge=1, description="the image's `content`")] = None,
) -> Response:
    """An image's small picture, made from its pixels and nothing else of the file."""
    service = service_of(request)
    made, tag = service.thumbnail(number, side)
    forever = v is not None and v == service.image(number).content
    return _jpeg(request, made, tag, forever)


@router.get(
    "/images/{number}/explanation", response_model=models.Explanation, tags=["images"],
    operation_id="explain",
)  # fmt: skip
def explanation(
    request: Request,
    number: Number,
    by: By = None,
    upload: ByUpload = None,
    crop: Annotated[CropText | None, Query()] = None,
) -> Response:
    """Why this image matches others (`by`) and uploads that are searched by together, or a part of
    one: what each place of each adds to the similarity.
    """
    crop_ = parse_crop(crop)
    return send(service_of(request).explain(number, by or (), upload or (), crop_))


@router.get(
    "/images/{number}/explanation/{side}", tags=["images"], operation_id="explanation_picture",
    responses=JPEG, response_class=Response,
)  # fmt: skip
def explanation_picture(
    request: Request,
    number: Number,
    side: Literal["query", "image"],
    by: By = None,
    upload: ByUpload = None,
    crop: Annotated[CropText | None, Query()] = None,
    which: Annotated[int, Query(ge=0, le=MOST - 1, description="of the pictures")] = 0,
) -> Response:
    """The same as a picture: warm where it carries the similarity. `which` of the pictures that
    were searched by, from 0: those of `by` first, then uploads.
    """
    crop_ = parse_crop(crop)
    made = service_of(request).heat_picture(number, by or (), upload or (), crop_, side, which)
    return Response(made, media_type="image/jpeg")


@router.get(
    "/collection", response_model=models.CollectionInfo, tags=["collection"], operation_id="info"
)
def info(request: Request) -> Response:
    """The collection in figures."""
    return send(service_of(request).info())


@router.get(
    "/collection/facets", response_model=models.Facets, tags=["collection"], operation_id="facets"
)
def facets(request: Request) -> Response:
    """What filters can choose among."""
    return send(service_of(request).facets())


@router.get(
    "/collection/bad", response_model=models.BadFiles, tags=["collection"], operation_id="bad"
)
def bad(request: Request) -> Response:
    """Files that could not be read, and why."""
    return send(models.BadFiles(files=service_of(request).bad()))


@router.get(
    "/collections",
    response_model=models.Collections,
    tags=["collection"],
    operation_id="collections",
)
def collections(request: Request) -> Response:
    """What is served together, such as several codes of the same pictures. Every operation of each
    is at its `root`.
    """
    services: Services = request.app.state.services
    return send(services.listing())


@router.get("/jobs", response_model=models.JobList, tags=["jobs"], operation_id="jobs")
def jobs(request: Request) -> Response:
    """Long work, the newest first."""
    return send(models.JobList(jobs=service_of(request).jobs()))


@router.post(
    "/jobs", status_code=202, response_model=models.JobStatus, tags=["jobs"],
    operation_id="start_job",
)  # fmt: skip
def start_job(request: Request, wanted: JobRequest) -> Response:
    """Begin long work. Where the same runs already, that one is answered."""
    service = service_of(request)
    if wanted.kind == "sync":
        job = service.sync(wanted.retry_bad)
    elif wanted.kind == "compact":
        job = service.compact()
    else:
        job = service.duplicates.find(wanted.recalibrate)
    return send(job_model(job), 202)


@router.get("/jobs/{number}", response_model=models.JobStatus, tags=["jobs"], operation_id="job")
def job(request: Request, number: Number) -> Response:
    """How far it is."""
    return send(service_of(request).job(number))


@router.post(
    "/jobs/{number}/stop", response_model=models.JobStatus, tags=["jobs"], operation_id="stop_job"
)
def stop_job(request: Request, number: Number) -> Response:
    """Stop it soon; what it has done is kept. One that has ended stays as it is."""
    return send(service_of(request).stop(number))


@router.get(
    "/duplicates", response_model=models.DuplicateGroups, tags=["duplicates"],
    operation_id="duplicates",
)  # fmt: skip
def duplicates(
    request: Request,
    page: Annotated[int, Query(ge=1, le=10**6)] = 1,
    k: Annotated[int, Query(ge=1, le=100)] = 20,
    undecided: Annotated[bool, Query(description="only groups without a choice")] = False,
) -> Response:
    """Duplicates as the last job of that kind found them."""
    return send(service_of(request).duplicates.page(page, k, undecided))


@router.get(
    "/duplicates/export", tags=["duplicates"], operation_id="export_duplicates", responses=LINES,
    response_class=StreamingResponse,
)  # fmt: skip
def export_duplicates(request: Request) -> StreamingResponse:
    """The files that may go by the choices made, a line of JSON each. Nothing is deleted here."""
    lines = service_of(request).duplicates.export()
    return StreamingResponse(
        lines,
        media_type="application/x-ndjson",
        headers={"content-disposition": 'attachment; filename="duplicates.jsonl"'},
    )


@router.post(
    "/duplicates/choices", response_model=models.Group, tags=["duplicates"], operation_id="choose"
)
def choose(request: Request, decision: models.GroupDecision) -> Response:
    """Decide about a group, or take it back (null)."""
    return send(service_of(request).duplicates.decide(decision))


def _metadata(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RefusedError("metadata: give a JSON object of columns and values")
    return value


def _jpeg(request: Request, made: bytes, tag: str, forever: bool) -> Response:
    if not tag:
        return Response(made, media_type="image/jpeg")
    kept = f"private, max-age={YEAR}, immutable" if forever else "private, no-cache"
    headers = {"etag": f'"{tag}"', "cache-control": kept}
    if request.headers.get("if-none-match") == f'"{tag}"':
        return Response(status_code=304, headers=headers)
    return Response(made, media_type="image/jpeg", headers=headers)
