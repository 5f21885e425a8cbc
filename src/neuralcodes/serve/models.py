"""What goes over the wire, typed: used by the service, its API, its page and the client."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Id = Annotated[int, Field(ge=1, le=2**53 - 1)]
UploadId = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _number(value: Any) -> Any:
    """An address holds text only."""
    return (
        int(value) if isinstance(value, str) and value in ("160", "320", "640", "1280") else value
    )


Side = Annotated[Literal[160, 320, 640, 1280], BeforeValidator(_number)]


class Model(BaseModel):
    """Fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Model):
    """An error: `error` for programs, `message` for people."""

    error: str
    message: str


class Crop(Model):
    """A part of a picture, as fractions of the upright picture."""

    left: Fraction
    top: Fraction
    width: Annotated[float, Field(gt=0, le=1)]
    height: Annotated[float, Field(gt=0, le=1)]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width, height."""
        return self.left, self.top, self.width, self.height


class Search(Model):
    """What is searched by. The mean of the codes of all pictures (and the text) is compared."""

    id: list[Id] = Field(default=[], max_length=64, description="images of the collection")
    upload: list[UploadId] = Field(
        default=[], max_length=64, description="pictures uploaded before"
    )
    text: str | None = Field(default=None, min_length=1, max_length=1000)
    exclude: list[Id] = Field(
        default=[],
        max_length=64,
        description="images of what is not wanted: what is nearer to one of them than to the "
        "query is left out",
    )
    exclude_upload: list[UploadId] = Field(default=[], max_length=64)
    crop: Crop | None = Field(default=None, description="only this part of the (one) picture")
    filter: str | None = Field(
        default=None, min_length=1, max_length=2000, description="such as 'label == \"cat\"'"
    )
    k: Annotated[int, Field(ge=1, le=1000, description="results a page")] = 20
    page: Annotated[int, Field(ge=1, le=10_000, description="from 1")] = 1
    exact: bool = Field(default=False, description="do without the index")


class Image(Model):
    """An image of the collection.

    `content` changes when the file's content does; `thumbnail` is where its small picture is.
    """

    id: int
    path: str
    name: str
    folder: str
    label: str
    width: int
    height: int
    size: int
    kind: str
    date: str
    content: int | None
    thumbnail: str
    metadata: dict[str, Any] = {}


class Match(Model):
    """A result.

    `relevant`: of the query's label; null where the query has none. `probability`: that it matches,
    where distances are calibrated (`means` of the answer says what a match is).
    """

    rank: int
    distance: float
    probability: float | None = None
    relevant: bool | None = None
    image: Image


class Asked(Model):
    """One thing that was searched by; its thumbnail where there is one."""

    kind: Literal["image", "upload", "text"]
    name: str
    id: int | None = None
    upload: str | None = None
    thumbnail: str | None = None
    label: str | None = None


class Answer(Model):
    """Results of a search, nearest first.

    `more`: there is another page. `relevant_total`: images of the query's label, itself not
    counted. `code`: what was compared.
    """

    asked: list[Asked]
    excluded: list[Asked] = []
    code: str
    k: int
    page: int
    more: bool
    relevant_total: int | None = None
    means: str = ""
    warning: str = ""
    seconds: float
    matches: list[Match]


class Upload(Model):
    """A picture that was uploaded; `images` of the collection have the very same content."""

    id: str
    width: int
    height: int
    kind: str
    images: list[int]
    thumbnail: str


class Added(Model):
    """An image that was added and is on disk; `new` is false if it was there already."""

    id: int
    name: str
    new: bool


class AddedImages(Model):
    """What was added."""

    images: list[Added]


class Removal(Model):
    """Images to take out."""

    ids: list[Id] = Field(min_length=1, max_length=1000)


class Removed(Model):
    """How many left."""

    removed: int


class JobStatus(Model):
    """A piece of long work. Times are seconds since 1970, 0 if not yet."""

    id: int
    kind: str
    state: Literal["waiting", "running", "done", "failed", "stopped"]
    step: str
    done: int
    total: int
    created: float
    started: float
    ended: float
    message: str
    result: Any = None


class JobList(Model):
    """Jobs, the newest first."""

    jobs: list[JobStatus]


class FacetValue(Model):
    """A value and how many images have it."""

    value: str | int | float
    count: int


class Facet(Model):
    """A column that filters know; the most frequent of its values."""

    column: str
    values: list[FacetValue]
    distinct: int


class Facets(Model):
    """What filters can choose among."""

    facets: list[Facet]


class CollectionInfo(Model):
    """The collection in figures; see `neuralcodes info`.

    `dtype`: how a code is stored, a number type or the quantiser's name, in `code_bytes` bytes.
    """

    images: int
    contents: int
    bad: int
    removed_codes: int
    code: str
    fingerprint: str
    dims: int
    dtype: str
    code_bytes: int
    bytes: dict[str, int]
    columns: list[str]
    roots: list[dict[str, str]]
    index: dict[str, Any]
    calibration: dict[str, Any] | None
    text: bool


class Served(Model):
    """A collection that is served here.

    `root`: what its addresses begin with: its API is at ROOT/api/v1, its page at ROOT/; empty for
    the first. `name`: for `Client(collection=…)`.
    """

    name: str
    root: str
    code: str
    fingerprint: str
    images: int


class Collections(Model):
    """What is served together, such as several codes of the same pictures."""

    collections: list[Served]


class BadFile(Model):
    """A file without a code, and why."""

    path: str
    reason: str


class BadFiles(Model):
    """Files without a code."""

    files: list[BadFile]


class ImagePage(Model):
    """Images in order of ids; `next` is what to give as `after` for more, null at the end."""

    images: list[Image]
    next: int | None


class Group(Model):
    """Images that are the same, or nearly; the suggested one to keep first."""

    key: str
    kind: Literal["exact", "near"]
    distance: float
    reason: str
    images: list[Image]
    choice: Literal["keep", "skip", "different"] | None = None
    keep: list[int] = []


class DuplicateGroups(Model):
    """Duplicates as they were found last.

    `state`: "absent" (not looked for yet), "running", "ready", or "stale" (the collection has
    changed since). `job`: the search for them that runs or ran last.
    """

    state: Literal["absent", "running", "ready", "stale"]
    job: int | None = None
    threshold: float | None = None
    calibration: dict[str, Any] | None = None
    total: int = 0
    undecided: int = 0
    page: int = 1
    k: int = 20
    groups: list[Group] = []


class GroupDecision(Model):
    """What to do with a group: keep some of its images, skip it, or say that they differ.

    null takes the choice back.
    """

    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    choice: Literal["keep", "skip", "different"] | None
    keep: list[Id] = Field(default=[], max_length=1000)


class ExplainedQuery(Model):
    """One of the pictures that were searched by; its similarity times `weight` is its share.

    `map`: what each place of it (of the part of it that was searched by) adds to `similarity`;
    `rest` belongs to no place.
    """

    id: int | None
    upload: str | None
    similarity: float
    weight: float
    map: list[list[float]]
    rest: float


class Explanation(Model):
    """Which parts of the pictures carry their similarity; see `codes.explaining`.

    Maps are `rows` lists of `columns` numbers: what each place adds to the similarity (the inner
    product of the codes), below 0 where it takes from it. `similarity` is the sum of those of the
    `queries`, each times its weight, and of `image` and `rest_image`. Where no rest is left the
    maps are `exact`.
    """

    similarity: float
    distance: float
    probability: float | None
    code: str
    layer: str
    note: str
    exact: bool
    rows: int
    columns: int
    queries: list[ExplainedQuery]
    image: list[list[float]]
    rest_image: float


class Health(Model):
    """It lives."""

    status: Literal["ok"]
    version: str


class Ready(Model):
    """Whether each part can do its work; else what is wrong."""

    ready: bool
    parts: dict[str, str]
