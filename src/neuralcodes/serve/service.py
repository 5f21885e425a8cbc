"""`Service`: what the API and the page may ask of a collection, each as one typed function.

A request's is had by `services.service_of`; what it gives are the types of `models`. Its functions
may be called from any thread, and they block: write routes as `def`, not `async def`. Refusals are
`errors.RefusedError` (message, status), which the application answers as JSON unless the page's
route catches them. Answers get a strict content security policy (`security.POLICY`: no inline
script or style, no `eval`, nothing from outside). Forms that change something need no token of
their own: `security.Guard` checks where they come from.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from neuralcodes.collection.collection import Collection
from neuralcodes.collection.lookup import content_of, facets, image_page, images_of_content
from neuralcodes.collection.records import condition_of
from neuralcodes.collection.results import ImageRecord
from neuralcodes.common.errors import UserError
from neuralcodes.serve import models
from neuralcodes.serve.adding import Adder
from neuralcodes.serve.batching import Batcher
from neuralcodes.serve.duplicates import DuplicateFinder
from neuralcodes.serve.errors import NotFoundError
from neuralcodes.serve.explaining import Reasons
from neuralcodes.serve.finding import Finder, explained_filter, image_model, upload_url
from neuralcodes.serve.jobs import Job, Jobs
from neuralcodes.serve.pictures import ServedPictures
from neuralcodes.serve.settings import Settings
from neuralcodes.serve.shared import Shared

LOOKER = 10**6  # numbers of jobs that only look begin here
PATIENCE = 20.0  # seconds that the writer may go on at the end


class Service:
    """A collection, served. Every function may be called from any thread.

    All raise `RefusedError` (see `errors`) where the answer is a refusal.

    Args:
        shared: what it has in common with other collections that are served together.

    Attributes:
        collection: what is served.
        settings: limits.
        name: among those that are served together.
        root: what its addresses begin with; empty for the first.
        metrics: counts.
        duplicates: groups of duplicates and decisions about them.
    """

    def __init__(
        self, collection: Collection, settings: Settings, shared: Shared, name: str, root: str
    ) -> None:
        self.collection = collection
        self.settings = settings
        self.name = name
        self.root = root
        self.metrics = shared.metrics
        self._batcher = Batcher(collection.encode, settings, self.metrics.batch)
        self._writer = Jobs(settings.jobs, self.metrics.job, "writer")
        self._looker = Jobs(settings.jobs, self.metrics.job, "looker", first=LOOKER)
        self._writing = threading.Lock()
        self._adder = Adder(collection, self._writer, self._writing)
        self._pictures = ServedPictures(collection, shared, self._batcher, settings)
        self._finder = Finder(collection, self._pictures, settings, root)
        self.duplicates = DuplicateFinder(collection, self._looker, self._adder, root)
        self._reasons = Reasons(
            collection, self._pictures, self._batcher, self._finder.code_of_query
        )
        self._network = "not opened yet"
        self._draining = False
        self.metrics.images.labels(name).set_function(lambda: len(collection))
        self.metrics.waiting.labels(name).set_function(lambda: self._batcher.waiting)

    @property
    def code(self) -> str:
        """What its codes are, for people: without the folders of the network's file."""
        network, at, rest = self.collection.spec.name.rpartition("@")
        return f"{network.rpartition('/')[2]}{at}{rest}" if at else rest

    # Beginning and end

    def start(self) -> None:
        """Open the network in the background."""
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()

    def _warm_up(self) -> None:
        self._network = self._pictures.warm_up() or "ok"

    def drain(self) -> None:
        """The end is near: not ready any more, and long jobs stop with what they have done."""
        self._draining = True
        for jobs in (self._writer, self._looker):
            jobs.stop_long()

    def close(self) -> None:
        """Finish what was begun; the decoders are still there for it."""
        self.drain()
        self._writer.close(PATIENCE)
        self._adder.close()
        self._looker.close(PATIENCE)
        self._batcher.close(PATIENCE / 4)
        self._pictures.close()

    def ready(self) -> models.Ready:
        """Whether every part can do its work."""
        parts = {"network": self._network, "service": "ok"}
        if self._draining:
            parts["service"] = "shutting down"
        try:
            len(self.collection)
            parts["collection"] = "ok"
        except UserError as error:
            parts["collection"] = " ".join(str(error).split())
        return models.Ready(ready=set(parts.values()) == {"ok"}, parts=parts)

    # Searching

    def search(self, wanted: models.Search, files: Sequence[bytes] = ()) -> models.Answer:
        """A page of results, nearest first; `files` are pictures that are not kept."""
        return self._finder.search(wanted, files)

    def upload(self, data: bytes) -> models.Upload:
        """Look at a picture and keep it for a while, so that it can be searched by its id."""
        name, facts = self._pictures.keep_upload(data)
        return models.Upload(
            id=name,
            width=facts.width,
            height=facts.height,
            kind=facts.kind,
            images=self.images_of(bytes.fromhex(name)),
            thumbnail=upload_url(name, self.root),
        )

    def carry(self, image: int, there: Service) -> int | str:
        """An image of this collection for a search in another one.

        Gives the id of an image with the same content there, else the name of an upload of it.

        Raises:
            NotFoundError: no such image, or its file cannot be read.
        """
        record = self._finder.image(image)
        digest = content_of(self.collection.store, image)
        known = there.images_of(digest) if digest is not None else []
        if known:
            return image if image in known else known[0]
        return there.upload(self._pictures.read(record)).id

    def images_of(self, digest: bytes) -> list[int]:
        """Images with this content (SHA-256), at most 100."""
        return images_of_content(self.collection.store, digest)

    def check_filter(self, text: str | None) -> None:
        """Refuse what is no filter here."""
        if text:
            with explained_filter(text):
                condition_of(self.collection.store, text)

    def explain(
        self,
        image: int,
        by: Sequence[int] = (),
        upload: Sequence[str] = (),
        crop: models.Crop | None = None,
    ) -> models.Explanation:
        """Why an image matches others, uploads, or a part of one."""
        return self._reasons.explain(self._asked(by, upload), self._finder.image(image), crop)

    def heat_picture(
        self,
        image: int,
        by: Sequence[int] = (),
        upload: Sequence[str] = (),
        crop: models.Crop | None = None,
        side: Literal["query", "image"] = "image",
        which: int = 0,
    ) -> bytes:
        """The image, or one of those it was searched by, warm where it carries the similarity."""
        asked = self._asked(by, upload)
        return self._reasons.picture(asked, self._finder.image(image), crop, side, which)

    def _asked(self, by: Sequence[int], upload: Sequence[str]) -> list[ImageRecord | str]:
        return [*(self._finder.image(number) for number in dict.fromkeys(by)),
                *dict.fromkeys(upload)]  # fmt: skip

    # Looking

    def image(self, number: int) -> models.Image:
        """An image by its id."""
        return image_model(self._finder.image(number), self.root)

    def images(self, after: int = 0, k: int = 100, filter: str | None = None) -> models.ImagePage:
        """Images in order of ids."""
        with explained_filter(filter):
            found = image_page(self.collection.store, after, k + 1, filter)
        return models.ImagePage(
            images=[image_model(one, self.root) for one in found[:k]],
            next=found[k - 1].id if len(found) > k else None,
        )

    def thumbnail(self, number: int, side: int) -> tuple[bytes, str]:
        """An image's thumbnail (JPEG) and its entity tag (empty: do not keep it)."""
        return self._pictures.thumbnail(self._finder.image(number), side)

    def upload_thumbnail(self, name: str, side: int) -> tuple[bytes, str]:
        """The same of an upload."""
        return self._pictures.upload_thumbnail(name, side)

    def info(self) -> models.CollectionInfo:
        """The collection in figures."""
        about = self.collection.info()
        return models.CollectionInfo(
            images=about.images,
            contents=about.contents,
            bad=about.bad,
            removed_codes=about.removed_codes,
            code=about.code,
            fingerprint=about.fingerprint,
            dims=about.dims,
            dtype=about.dtype,
            code_bytes=about.code_bytes,
            bytes=about.bytes,
            columns=about.columns,
            roots=about.roots,
            index=about.index,
            calibration=about.calibration,
            text=self._has_text(),
        )

    def _has_text(self) -> bool:
        try:
            return self._pictures.has_text
        except UserError:  # the network is not there: nothing new can be searched by
            return False

    def bad(self) -> list[models.BadFile]:
        """Files without a code."""
        return [models.BadFile(path=path, reason=reason) for path, reason in self.collection.bad()]

    def facets(self) -> models.Facets:
        """What filters can choose among."""
        return models.Facets(
            facets=[
                models.Facet(
                    column=one.column,
                    values=[models.FacetValue(value=v, count=n) for v, n in one.values],
                    distinct=one.distinct,
                )
                for one in facets(self.collection.store)
            ]
        )

    # Changing

    def add(
        self, pictures: Sequence[tuple[str, bytes]], metadata: Mapping[str, Any] | None = None
    ) -> models.AddedImages:
        """Add pictures (name, file); they are on disk when this returns."""
        for _, data in pictures:
            self._pictures.check_picture(data)
        added = self._adder.add(pictures, metadata or {})
        self.metrics.added.inc(sum(one.new for one in added))
        return models.AddedImages(images=added)

    def remove(self, ids: Sequence[int]) -> int:
        """Take images out; gives how many left."""
        for number in ids:
            self._finder.image(number)
        try:
            removed = self._adder.remove(ids)
        except UserError:
            raise NotFoundError("one of the images has just left") from None
        self.metrics.removed.inc(removed)
        return removed

    # Long work

    def sync(self, retry_bad: bool = False) -> Job:
        """Bring the collection up to date with the places it knows, in the background."""

        def work() -> dict[str, Any]:
            report = self._adder.patiently(lambda: self.collection.sync(retry_bad=retry_bad))
            told = report.to_json()
            told["bad"] = told["bad"][:100]
            return told

        return self._writer.submit("sync", work, single=True)

    def compact(self) -> Job:
        """Give back the room of what was removed, in the background."""
        return self._writer.submit(
            "compact", lambda: self._adder.patiently(self.collection.compact), single=True
        )

    def jobs(self) -> list[models.JobStatus]:
        """Jobs that are remembered, the newest first."""
        known = [*self._writer.list(), *self._looker.list()]
        return [job_model(job) for job in sorted(known, key=lambda job: -job.created)]

    def job(self, number: int) -> models.JobStatus:
        """A job by its id."""
        return job_model(self._lane(number).get(number))

    def stop(self, number: int) -> models.JobStatus:
        """Ask a job to stop; what it has done is kept."""
        return job_model(self._lane(number).stop(number))

    def _lane(self, number: int) -> Jobs:
        return self._looker if number > LOOKER else self._writer


def job_model(job: Job) -> models.JobStatus:
    """A job as it goes over the wire."""
    return models.JobStatus(
        id=job.number,
        kind=job.kind,
        state=job.state,
        step=job.step,
        done=job.done,
        total=job.total,
        created=job.created,
        started=job.started,
        ended=job.ended,
        message=job.message,
        result=job.result if job.state == "done" else None,
    )
