"""`Client`: the service from Python, with types. Each method is one operation of the API."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter

from neuralcodes.serve import models
from neuralcodes.serve.api_models import BatchLine

API = "/api/v1"
Picture = str | os.PathLike[str] | bytes
Box = tuple[float, float, float, float]
Made = TypeVar("Made", bound=BaseModel)
LONGEST_WAIT = 30.0  # seconds between tries


class ServiceError(Exception):
    """The service refused.

    Attributes:
        status: of HTTP.
        error: one word, for programs.
        message: for people.
    """

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(f"{message} ({status} {error})")
        self.status, self.error, self.message = status, error, message


class Client:
    """A connection to a service. A context manager; may be used from several threads.

    Args:
        address: as http://127.0.0.1:8321.
        token: if the service asks for one.
        timeout: seconds without an answer.
        tries: while the service is busy (429), the same request is sent so often at most.
        collection: which, where several are served together, by its name in `collections`; empty
            for the first.

    All methods raise `ServiceError` where the service refuses, `httpx.TransportError` where it
    does not answer.

    Example:
        >>> with Client("http://127.0.0.1:8321") as client:  # doctest: +SKIP
        ...     for match in client.search_pictures(["cat.jpg"], k=5).matches:
        ...         print(match.distance, match.image.path)
    """

    def __init__(
        self,
        address: str,
        token: str = "",
        *,
        timeout: float = 120.0,
        tries: int = 5,
        collection: str = "",
    ) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        base = f"{address.rstrip('/')}/c/{quote(collection, safe='')}" if collection else address
        self._http = httpx.Client(base_url=base, headers=headers, timeout=timeout)
        self._tries = tries

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Searching

    def search(
        self,
        id: Sequence[int] = (),
        *,
        upload: Sequence[str] = (),
        text: str | None = None,
        exclude: Sequence[int] = (),
        exclude_upload: Sequence[str] = (),
        crop: Box | None = None,
        filter: str | None = None,
        k: int = 20,
        page: int = 1,
        exact: bool = False,
    ) -> models.Answer:
        """Images nearest to images by id, uploads by id, or words; see `models.Search`."""
        query = _query(id, upload, text, exclude, exclude_upload, crop, filter, k, page, exact)
        return self._get(models.Answer, "/search", query)

    def search_pictures(
        self,
        file: Sequence[Picture],
        *,
        id: Sequence[int] = (),
        upload: Sequence[str] = (),
        text: str | None = None,
        exclude: Sequence[int] = (),
        exclude_upload: Sequence[str] = (),
        crop: Box | None = None,
        filter: str | None = None,
        k: int = 20,
        page: int = 1,
        exact: bool = False,
    ) -> models.Answer:
        """The same by pictures: paths or the bytes of files."""
        query = _query(id, upload, text, exclude, exclude_upload, crop, filter, k, page, exact)
        answer = self._send("POST", "/search", params=query, files=_files(file))
        return models.Answer.model_validate_json(answer.content)

    def search_batch(self, queries: Sequence[models.Search]) -> Iterator[BatchLine]:
        """Many searches; answers come one by one, in order."""
        body = {"queries": [query.model_dump() for query in queries]}
        with self._http.stream("POST", f"{API}/search/batch", json=body) as answer:
            if answer.status_code >= 400:
                answer.read()
                raise _refusal(answer)
            for line in answer.iter_lines():
                yield BatchLine.model_validate_json(line)

    def upload(self, file: Picture) -> models.Upload:
        """Leave a picture with the service for a while, to search by its id."""
        answer = self._send("POST", "/uploads", files=_files([file]))
        return models.Upload.model_validate_json(answer.content)

    def upload_thumbnail(self, name: str, side: models.Side = 160) -> bytes:
        """An upload's small picture, JPEG."""
        return self._send("GET", f"/uploads/{name}/thumbnail", params={"side": side}).content

    # Images

    def images(self, after: int = 0, k: int = 100, filter: str | None = None) -> models.ImagePage:
        """Images in order of ids, from an id on."""
        query = {"after": after, "k": k} | ({"filter": filter} if filter is not None else {})
        return self._get(models.ImagePage, "/images", query)

    def image(self, number: int) -> models.Image:
        """What is known of an image."""
        return self._get(models.Image, f"/images/{number}")

    def add(
        self, file: Sequence[Picture], metadata: Mapping[str, str | int | float] | None = None
    ) -> models.AddedImages:
        """Add pictures; they are on the service's disk when this returns."""
        data = {"metadata": json.dumps(dict(metadata))} if metadata else {}
        answer = self._send("POST", "/images", files=_files(file), data=data)
        return models.AddedImages.model_validate_json(answer.content)

    def remove_one(self, number: int) -> models.Removed:
        """Take an image out."""
        answer = self._send("DELETE", f"/images/{number}")
        return models.Removed.model_validate_json(answer.content)

    def remove(self, ids: Sequence[int]) -> models.Removed:
        """Take several out, all or none."""
        answer = self._send("POST", "/images/remove", json={"ids": list(ids)})
        return models.Removed.model_validate_json(answer.content)

    def thumbnail(self, number: int, side: models.Side = 160, v: int | None = None) -> bytes:
        """An image's small picture, JPEG."""
        query = {"side": side} | ({"v": v} if v is not None else {})
        return self._send("GET", f"/images/{number}/thumbnail", params=query).content

    def explain(
        self,
        number: int,
        by: int | Sequence[int] = (),
        upload: str | Sequence[str] = (),
        crop: Box | None = None,
    ) -> models.Explanation:
        """Why an image matches others, uploads, or a part of one."""
        path = f"/images/{number}/explanation"
        return self._get(models.Explanation, path, _by(by, upload, crop))

    def explanation_picture(
        self,
        number: int,
        side: Literal["query", "image"],
        by: int | Sequence[int] = (),
        upload: str | Sequence[str] = (),
        crop: Box | None = None,
        which: int = 0,
    ) -> bytes:
        """The same as a picture, JPEG; for the side "query", which of those searched by."""
        path = f"/images/{number}/explanation/{side}"
        query = _by(by, upload, crop) | {"which": which}
        return self._send("GET", path, params=query).content

    # The collection

    def info(self) -> models.CollectionInfo:
        """The collection in figures."""
        return self._get(models.CollectionInfo, "/collection")

    def collections(self) -> models.Collections:
        """What is served together."""
        return self._get(models.Collections, "/collections")

    def facets(self) -> models.Facets:
        """What filters can choose among."""
        return self._get(models.Facets, "/collection/facets")

    def bad(self) -> models.BadFiles:
        """Files without a code, and why."""
        return self._get(models.BadFiles, "/collection/bad")

    # Long work

    def jobs(self) -> models.JobList:
        """Long work, the newest first."""
        return self._get(models.JobList, "/jobs")

    def start_job(
        self,
        kind: Literal["sync", "compact", "duplicates"],
        *,
        retry_bad: bool = False,
        recalibrate: bool = False,
    ) -> models.JobStatus:
        """Begin long work."""
        body = {"kind": kind, "retry_bad": retry_bad, "recalibrate": recalibrate}
        answer = self._send("POST", "/jobs", json=body)
        return models.JobStatus.model_validate_json(answer.content)

    def job(self, number: int) -> models.JobStatus:
        """How far it is."""
        return self._get(models.JobStatus, f"/jobs/{number}")

    def stop_job(self, number: int) -> models.JobStatus:
        """Stop it soon; what it has done is kept."""
        answer = self._send("POST", f"/jobs/{number}/stop")
        return models.JobStatus.model_validate_json(answer.content)

    def wait(self, number: int, every: float = 0.2) -> models.JobStatus:
        """Wait until a job has ended."""
        while (job := self.job(number)).state in ("waiting", "running"):
            time.sleep(every)
        return job

    # Duplicates

    def duplicates(
        self, page: int = 1, k: int = 20, undecided: bool = False
    ) -> models.DuplicateGroups:
        """Duplicates as the last job of that kind found them."""
        query = {"page": page, "k": k, "undecided": undecided}
        return self._get(models.DuplicateGroups, "/duplicates", query)

    def choose(
        self,
        key: str,
        choice: Literal["keep", "skip", "different"] | None,
        keep: Sequence[int] = (),
    ) -> models.Group:
        """Decide about a group of duplicates, or take it back with None."""
        body = {"key": key, "choice": choice, "keep": list(keep)}
        answer = self._send("POST", "/duplicates/choices", json=body)
        return models.Group.model_validate_json(answer.content)

    def export_duplicates(self) -> list[dict[str, Any]]:
        """The files that may go by the choices made."""
        answer = self._send("GET", "/duplicates/export")
        return [json.loads(line) for line in answer.text.splitlines()]

    # The service

    def health(self) -> models.Health:
        """Whether it lives."""
        return self._get(models.Health, "/healthz", api="")

    def ready(self) -> models.Ready:
        """Whether each part can do its work; also where it cannot."""
        answer = self._http.get("/readyz")
        return TypeAdapter(models.Ready).validate_json(answer.content)

    def metrics(self) -> str:
        """Counters, in Prometheus' text format."""
        return self._send("GET", "/metrics", api="").text

    def _get(
        self, kind: type[Made], path: str, query: Mapping[str, Any] | None = None, api: str = API
    ) -> Made:
        answer = self._send("GET", path, api=api, params=dict(query or {}))
        return kind.model_validate_json(answer.content)

    def _send(self, method: str, path: str, *, api: str = API, **what: Any) -> httpx.Response:
        for tried in range(1, self._tries + 1):
            answer = self._http.request(method, f"{api}{path}", **what)
            if answer.status_code != 429 or tried == self._tries:
                break
            time.sleep(min(LONGEST_WAIT, float(answer.headers.get("retry-after", "1"))))
        if answer.status_code >= 400:
            raise _refusal(answer)
        return answer


def _refusal(answer: httpx.Response) -> ServiceError:
    try:
        told = models.Problem.model_validate_json(answer.content)
    except ValueError:  # a proxy's answer, not the service's
        return ServiceError(answer.status_code, "unknown", answer.text[:200])
    return ServiceError(answer.status_code, told.error, told.message)


def _query(
    id: Sequence[int],
    upload: Sequence[str],
    text: str | None,
    exclude: Sequence[int],
    exclude_upload: Sequence[str],
    crop: Box | None,
    filter: str | None,
    k: int,
    page: int,
    exact: bool,
) -> dict[str, Any]:
    lists = {"id": id, "upload": upload, "exclude": exclude, "exclude_upload": exclude_upload}
    query: dict[str, Any] = {name: list(values) for name, values in lists.items() if values}
    query |= {"k": k, "page": page, "exact": exact}
    if text is not None:
        query["text"] = text
    if filter is not None:
        query["filter"] = filter
    if crop is not None:
        query["crop"] = _box(crop)
    return query


def _box(crop: Box) -> str:
    return ",".join(f"{part:.6f}" for part in crop)


def _by(
    by: int | Sequence[int], upload: str | Sequence[str], crop: Box | None
) -> dict[str, Any]:  # fmt: skip
    query: dict[str, Any] = {
        "by": [by] if isinstance(by, int) else list(by),
        "upload": [upload] if isinstance(upload, str) else list(upload),
    }
    return query | ({} if crop is None else {"crop": _box(crop)})


def _files(pictures: Sequence[Picture]) -> list[tuple[str, tuple[str, bytes]]]:
    files = []
    for picture in pictures:
        if isinstance(picture, bytes):
            files.append(("file", ("picture", picture)))
        else:
            path = Path(picture)
            files.append(("file", (path.name, path.read_bytes())))
    return files
